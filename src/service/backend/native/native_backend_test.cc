// The own engine behind the interface, with a fake engine and a fake tokenizer: what goes in comes
// out unchanged, and back.
#include "backend/native/native_backend.h"

#include <gtest/gtest.h>

#include "backend/native/convert.h"
#include "base/clock.h"

namespace pelton::backend {
namespace {

class FakeTokenizer final : public text::Tokenizer {
 public:
  Result<std::vector<text::TokenId>> Encode(std::string_view text,
                                            text::EncodeOptions options) const override {
    std::vector<text::TokenId> ids;
    if (options.add_bos) ids.push_back(0);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) % 10);
    return ids;
  }
  std::string_view Bytes(text::TokenId id, bool special) const override {
    if (id == 0) return special ? "<s>" : "";
    return kDigits.substr(static_cast<size_t>(id), 1);
  }
  std::string_view Piece(text::TokenId id) const override { return Bytes(id, true); }
  int vocab_size() const override { return 10; }
  text::TokenId bos() const override { return 0; }
  text::TokenId eos() const override { return 9; }
  bool add_bos() const override { return true; }
  std::span<const text::TokenId> end_ids() const override { return ends_; }
  bool IsControl(text::TokenId id) const override { return id == 0; }
  bool strips_leading_space() const override { return false; }
  text::TokenId IdOf(std::string_view) const override { return -1; }

 private:
  static constexpr std::string_view kDigits = "0123456789";
  const std::vector<text::TokenId> ends_ = {9};
};

class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(FakeEngine** self) { *self = this; info_.vocab_size = 10; }
  engine::RequestId NextRequestId() override { return ++last_id_; }
  Status Submit(engine::EngineRequest request,
                std::shared_ptr<engine::DeltaSink> sink) override {
    request_ = std::move(request);
    sink_ = std::move(sink);
    return submit_status_;
  }
  void Cancel(engine::RequestId id) override { cancelled_ = id; }
  void Resume(engine::RequestId id) override { resumed_ = id; }
  engine::EngineStats Stats() const override {
    engine::EngineStats stats;
    stats.running = 3;
    stats.kv_blocks = 10;
    stats.kv_blocks_used = 4;
    stats.heartbeat_ns = heartbeat_ns_;
    return stats;
  }
  int context() const override { return 128; }
  int sequences_max() const override { return 12; }
  int64_t kv_tokens() const override { return 4096; }
  const models::ModelInfo& info() const override { return info_; }
  void CloseIntake() override { closed_ = true; }

  engine::EngineRequest request_;
  std::shared_ptr<engine::DeltaSink> sink_;
  Status submit_status_;
  engine::RequestId last_id_ = 0, cancelled_ = 0, resumed_ = 0;
  bool closed_ = false;
  int64_t heartbeat_ns_ = 0;
  models::ModelInfo info_;
};

class FakeSink final : public DeltaSink {
 public:
  Flow OnDelta(Delta&& delta) override {
    last = std::move(delta);
    return flow;
  }
  Delta last;
  Flow flow = Flow::kContinue;
};

// Says whether it was shown tools, and what its answers are like.
class FakeChatTemplate final : public text::ChatTemplate {
 public:
  const text::ChatTraits& traits() const override { return traits_; }
  Result<std::string> Render(const text::ChatTemplateInput&) const override { return std::string(); }
  Result<std::vector<text::TokenId>> RenderTokens(const text::ChatTemplateInput& input) const override {
    return std::vector<text::TokenId>{input.tools_json.empty() ? 7 : 8};
  }

 private:
  const text::ChatTraits traits_{.tools = text::ToolSyntax::kPhi, .knows_tools = true, .thinks = true,
                                 .opens_thinking = true};
};

class Native : public ::testing::Test {
 protected:
  Native() {
    NativeParts parts;
    parts.tokenizer = std::make_shared<FakeTokenizer>();
    parts.engine = std::make_unique<FakeEngine>(&engine_);
    parts.chat_template = std::make_unique<FakeChatTemplate>();
    backend_ = MakeNativeBackend(std::move(parts));
  }
  FakeEngine* engine_ = nullptr;
  std::unique_ptr<Backend> backend_;
};

TEST_F(Native, ToolsReachTheTemplateAndTheAnswersBeginningThePrompt) {
  EXPECT_EQ(backend_->facts().tools, ToolSyntax::kPhi);
  EXPECT_TRUE(backend_->facts().thinks && backend_->facts().opens_thinking);
  ChatPrompt prompt;
  EXPECT_EQ(*backend_->ChatTokens(prompt), std::vector<TokenId>{7});
  prompt.tools_json = "[{}]";
  prompt.answer_prefix = "<";  // 60
  EXPECT_EQ(*backend_->ChatTokens(prompt), (std::vector<TokenId>{8, 0}));
}

TEST_F(Native, EveryFieldOfARequestReachesTheEngine) {
  SequenceRequest request;
  request.tenant = "acme";
  request.tenant_weight = 2.5;
  request.priority = 3;
  request.prompt = {1, 2};
  request.temperature = 0.5f;
  request.top_k = 4;
  request.top_p = 0.9f;
  request.min_p = 0.1f;
  request.typical_p = 0.8f;
  request.repetition_penalty = 1.1f;
  request.frequency_penalty = 0.2f;
  request.presence_penalty = 0.3f;
  request.logit_bias = {{5, -1.f}};
  request.seed = 42;
  request.top_logprobs = 3;
  request.max_tokens = 17;
  request.stop = {"x"};
  request.include_stop_in_text = request.ignore_eos = request.special_tokens_in_text = true;
  request.deadline_ns = 123;
  ASSERT_TRUE(backend_->Submit(8, request, std::make_shared<FakeSink>()).ok());
  const engine::EngineRequest& got = engine_->request_;
  EXPECT_EQ(got.id, 8u);
  EXPECT_EQ(got.tenant, "acme");
  EXPECT_EQ(got.tenant_weight, 2.5);
  EXPECT_EQ(got.priority, 3);
  EXPECT_EQ(got.prompt, request.prompt);
  EXPECT_EQ(got.sampling.temperature, 0.5f);
  EXPECT_EQ(got.sampling.top_k, 4);
  EXPECT_EQ(got.sampling.top_p, 0.9f);
  EXPECT_EQ(got.sampling.min_p, 0.1f);
  EXPECT_EQ(got.sampling.typical_p, 0.8f);
  EXPECT_EQ(got.sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(got.sampling.frequency_penalty, 0.2f);
  EXPECT_EQ(got.sampling.presence_penalty, 0.3f);
  EXPECT_EQ(got.sampling.logit_bias, request.logit_bias);
  EXPECT_EQ(got.sampling.seed, 42u);
  EXPECT_EQ(got.sampling.top_logprobs, 3);
  EXPECT_EQ(got.max_tokens, 17);
  EXPECT_EQ(got.stop, request.stop);
  EXPECT_TRUE(got.include_stop_in_text && got.ignore_eos && got.special_tokens_in_text);
  EXPECT_EQ(got.deadline_ns, 123);
}

TEST_F(Native, DeltasComeBackWithBytesOfTokensAndPausePasses) {
  auto sink = std::make_shared<FakeSink>();
  ASSERT_TRUE(backend_->Submit(1, {}, sink).ok());
  sink->flow = Flow::kPause;
  engine::Delta delta;
  delta.text = "5";
  delta.tokens = {{5, -0.5f, {{5, -0.5f}, {0, -2.f}}}};
  delta.finish = engine::FinishReason::kError;
  delta.usage = {.prompt_tokens = 3, .completion_tokens = 1, .cached_tokens = 2, .queue_ns = 7,
                 .first_token_ns = 8, .total_ns = 9, .decode_steps = 10, .prompt_chunks = 11,
                 .preemptions = 12, .wait_places_ns = 13, .wait_blocks_ns = 14, .wait_rows_ns = 15,
                 .wait_reader_ns = 16};
  delta.error = Internal("why");
  EXPECT_EQ(engine_->sink_->OnDelta(std::move(delta)), engine::Flow::kPause);
  EXPECT_EQ(sink->last.text, "5");
  ASSERT_EQ(sink->last.tokens.size(), 1u);
  EXPECT_EQ(sink->last.tokens[0].bytes, "5");
  ASSERT_EQ(sink->last.tokens[0].top.size(), 2u);
  EXPECT_EQ(sink->last.tokens[0].top[1].bytes, "<s>");
  EXPECT_EQ(sink->last.finish, FinishReason::kError);
  EXPECT_EQ(sink->last.usage.cached_tokens, 2);
  EXPECT_EQ(sink->last.usage.total_ns, 9);
  EXPECT_EQ(sink->last.usage.decode_steps, 10);
  EXPECT_EQ(sink->last.usage.prompt_chunks, 11);
  EXPECT_EQ(sink->last.usage.preemptions, 12);
  EXPECT_EQ(sink->last.usage.wait_places_ns, 13);
  EXPECT_EQ(sink->last.usage.wait_blocks_ns, 14);
  EXPECT_EQ(sink->last.usage.wait_rows_ns, 15);
  EXPECT_EQ(sink->last.usage.wait_reader_ns, 16);
  EXPECT_EQ(sink->last.error.message(), "why");
}

TEST_F(Native, ControlsAndFiguresPassThrough) {
  EXPECT_EQ(backend_->NextRequestId(), 1u);
  backend_->Cancel(4);
  backend_->Resume(5);
  backend_->CloseIntake();
  EXPECT_EQ(engine_->cancelled_, 4u);
  EXPECT_EQ(engine_->resumed_, 5u);
  EXPECT_TRUE(engine_->closed_);
  EXPECT_EQ(backend_->GetStats().running, 3);
  EXPECT_EQ(backend_->GetStats().kv_blocks_used, 4);
  EXPECT_GT(backend_->GetStats().heartbeat_ns, 0);  // alive before the loop's first turn
  engine_->heartbeat_ns_ = NowNs();
  EXPECT_EQ(backend_->GetStats().heartbeat_ns, engine_->heartbeat_ns_);
  EXPECT_EQ(backend_->facts().kind, "native");
  EXPECT_EQ(backend_->facts().context, 128);
  EXPECT_EQ(backend_->facts().sequences_max, 12);
  EXPECT_EQ(backend_->facts().kv_tokens, 4096);
  EXPECT_EQ(backend_->Tokenize("12", {.add_special = true})->size(), 3u);
  engine_->submit_status_ = ResourceExhausted("full");
  EXPECT_EQ(backend_->Submit(1, {}, std::make_shared<FakeSink>()).code(),
            StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace pelton::backend
