// The prefix cache on real graphs: greedy ids and the bits of 20 logprobs a token are the same cold,
// after a cache hit, among 63 others and after a preemption. Gemma 3 attends within windows, and its
// prompts here are longer than them.
#include <cstring>

#include "base/random.h"
#include "engine/engine.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "golden_models.h"

namespace pelton::engine {
namespace {

using testing::RecordingSink;

class Bench {
 public:
  Bench(const std::string& file, EngineOptions options)
      : team_({.threads = 2, .pin = false}),
        loaded_(golden::Load(file, golden::BestTable(), team_)) {
    if (loaded_.model == nullptr) return;
    options.kv_bytes_max = uint64_t{1} << 30;
    auto engine = Engine::Create(std::move(loaded_.model),
                                 std::make_shared<testing::FakeTokenizer>(), team_,
                                 golden::BestTable(), options);
    EXPECT_TRUE(engine.ok()) << engine.status().ToString();
    if (engine.ok()) engine_ = *std::move(engine);
  }

  std::shared_ptr<RecordingSink> Submit(std::vector<int32_t> prompt, int max_tokens,
                                        const std::string& tenant = "a") {
    auto sink = std::make_shared<RecordingSink>();
    EngineRequest request;
    request.id = engine_->NextRequestId();
    request.tenant = tenant;
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    request.sampling.temperature = 0.f;
    request.sampling.top_logprobs = 20;
    EXPECT_TRUE(engine_->Submit(std::move(request), sink).ok());
    return sink;
  }
  std::shared_ptr<RecordingSink> Run(std::vector<int32_t> prompt, int max_tokens) {
    auto sink = Submit(std::move(prompt), max_tokens);
    EXPECT_TRUE(sink->WaitForFinish(240));
    return sink;
  }
  std::vector<int32_t> Prompt(int tokens, uint64_t seed) const {
    std::vector<int32_t> prompt;
    for (int i = 0; i < tokens; ++i) {
      prompt.push_back(static_cast<int32_t>(Mix64(seed * 100'000 + i) %
                                            static_cast<uint64_t>(engine_->info().vocab_size)));
    }
    return prompt;
  }
  Engine& engine() { return *engine_; }

 private:
  nn::Team team_;
  golden::Loaded loaded_;
  std::unique_ptr<Engine> engine_;
};

void ExpectSameBits(const std::vector<TokenOut>& a, const std::vector<TokenOut>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].id, b[i].id) << "token " << i;
    ASSERT_EQ(a[i].top.size(), b[i].top.size());
    for (size_t j = 0; j < a[i].top.size(); ++j) {
      ASSERT_EQ(a[i].top[j].token, b[i].top[j].token) << "token " << i;
      ASSERT_EQ(std::memcmp(&a[i].top[j].logprob, &b[i].top[j].logprob, sizeof(float)), 0)
          << "token " << i;
    }
  }
}

// A prompt of `tokens`, after one that shares its first `shared`; then what follows its own answer.
void CheckHits(const std::string& file, int tokens, int shared, int answer) {
  EngineOptions options;
  options.context = tokens + 2 * answer + 16;
  options.max_running = 4;
  options.prefix_cache = false;
  Bench cold(file, options);
  options.prefix_cache = true;
  Bench warm(file, options);
  const auto prompt = cold.Prompt(tokens, 7);
  const auto want = cold.Run(prompt, answer);
  EXPECT_EQ(want->usage().cached_tokens, 0);
  warm.Run({prompt.begin(), prompt.begin() + shared}, 1);
  const auto hit = warm.Run(prompt, answer);
  EXPECT_EQ(hit->usage().cached_tokens, shared / 16 * 16);
  ExpectSameBits(want->tokens(), hit->tokens());
  auto chat = prompt;
  const auto said = want->ids();
  chat.insert(chat.end(), said.begin(), said.end());
  chat.push_back(3);
  const auto next = warm.Run(chat, answer);
  EXPECT_EQ(next->usage().cached_tokens, (tokens + answer - 1) / 16 * 16);
  ExpectSameBits(cold.Run(chat, answer)->tokens(), next->tokens());
}

class PrefixOnTinyModel : public ::testing::TestWithParam<const char*> {};

TEST_P(PrefixOnTinyModel, AnswersAreBitEqualAfterAHit) {
  const std::string file = golden::DataPath(GetParam());
  CheckHits(file, 90, 70, 20);
  CheckHits(file, 33, 32, 5);
}

TEST_P(PrefixOnTinyModel, AnswersAreBitEqualAmongSixtyThreeOthersThatShareTheirBeginning) {
  EngineOptions options;
  options.context = 128;
  options.max_running = 64;
  options.prefix_cache = false;
  Bench alone(golden::DataPath(GetParam()), options);
  const auto prompt = alone.Prompt(60, 5);
  const auto want = alone.Run(prompt, 40)->tokens();
  options.prefix_cache = true;
  for (const int blocks : {0, 16}) {  // 16: some are preempted
    options.kv_blocks = blocks;
    Bench bench(golden::DataPath(GetParam()), options);
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (int i = 0; i < 63; ++i) {
      auto other = bench.Prompt(60, i % 3 == 0 ? 5 : 100 + i);
      std::copy_n(prompt.begin(), i % 60, other.begin());
      sinks.push_back(bench.Submit(other, 10 + i % 40, i % 5 == 0 ? "b" : "a"));
    }
    const auto ours = bench.Submit(prompt, 40);
    EXPECT_TRUE(ours->WaitForFinish(240));
    for (const auto& sink : sinks) EXPECT_TRUE(sink->WaitForFinish(240));
    ExpectSameBits(want, ours->tokens());
    EXPECT_GT(bench.engine().Stats().prefix_hit_tokens, 0u);
    if (blocks > 0) {
      EXPECT_GT(bench.engine().Stats().preemptions, 0u);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, PrefixOnTinyModel,
                         ::testing::Values("tiny.llama.gguf", "tiny.mistral.gguf",
                                           "tiny.gemma3.gguf"),
                         [](const auto& info) {
                           std::string name(info.param);
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(Prefix, SmolLm2IsBitEqualAfterAHit) { CheckHits(golden::ModelPath("smollm2"), 200, 150, 12); }

// Its windows are 512 positions: the hit ends behind one and begins before it.
TEST(Prefix, Gemma3IsBitEqualAfterAHitBeyondItsWindow) {
  CheckHits(golden::ModelPath("gemma3"), 600, 560, 4);
}

}  // namespace
}  // namespace pelton::engine
