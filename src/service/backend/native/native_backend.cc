#include "backend/native/native_backend.h"

#include <algorithm>
#include <utility>

#include "backend/native/convert.h"
#include "base/clock.h"

namespace pelton::backend {
namespace {

class SinkAdapter final : public engine::DeltaSink {
 public:
  SinkAdapter(std::shared_ptr<backend::DeltaSink> sink,
              std::shared_ptr<const text::Tokenizer> tokenizer)
      : sink_(std::move(sink)), tokenizer_(std::move(tokenizer)) {}

  engine::Flow OnDelta(engine::Delta&& delta) override {
    const Flow flow = sink_->OnDelta(FromEngine(std::move(delta), *tokenizer_));
    return flow == Flow::kPause ? engine::Flow::kPause : engine::Flow::kContinue;
  }

 private:
  const std::shared_ptr<backend::DeltaSink> sink_;
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
};

template <size_t N>
Spread SpreadOf(const engine::Counts<N>& counts) {
  return {{counts.bounds.begin(), counts.bounds.end()},
          {counts.counts.begin(), counts.counts.end()}};
}

class NativeBackend final : public Backend {
 public:
  explicit NativeBackend(NativeParts parts)
      : parts_(std::move(parts)), facts_(FactsOf(*parts_.engine, *parts_.chat_template)) {}

  const Facts& facts() const override { return facts_; }

  Result<std::vector<TokenId>> ChatTokens(const ChatPrompt& prompt) const override {
    auto ids = parts_.chat_template->RenderTokens(ToText(prompt));
    if (!ids.ok() || prompt.answer_prefix.empty()) return ids;
    const auto prefix = parts_.tokenizer->Encode(prompt.answer_prefix, {.parse_special = true});
    if (!prefix.ok()) return prefix.status();
    ids->insert(ids->end(), prefix->begin(), prefix->end());
    return ids;
  }
  Result<std::vector<TokenId>> Tokenize(std::string_view text,
                                        const TokenizeOptions& options) const override {
    return parts_.tokenizer->Encode(
        text, {.add_bos = options.add_special, .parse_special = options.parse_special});
  }
  std::string Detokenize(std::span<const TokenId> ids, bool special) const override {
    return parts_.tokenizer->Decode(ids, special);
  }
  std::string TokenPiece(TokenId id) const override {
    return std::string(parts_.tokenizer->Bytes(id, /*special=*/true));
  }

  RequestId NextRequestId() override { return parts_.engine->NextRequestId(); }
  Status Submit(RequestId id, SequenceRequest request,
                std::shared_ptr<backend::DeltaSink> sink) override {
    return parts_.engine->Submit(
        ToEngine(id, std::move(request)),
        std::make_shared<SinkAdapter>(std::move(sink), parts_.tokenizer));
  }
  void Cancel(RequestId id) override { parts_.engine->Cancel(id); }
  void Resume(RequestId id) override { parts_.engine->Resume(id); }
  Stats GetStats() const override {
    const engine::EngineStats stats = parts_.engine->Stats();
    return {.running = stats.running, .waiting = stats.waiting, .kv_blocks = stats.kv_blocks,
            .kv_blocks_used = stats.kv_blocks_used, .steps = stats.steps,
            .prompt_tokens = stats.prompt_tokens, .generated_tokens = stats.generated_tokens,
            .preemptions = stats.preemptions,
            .computed_tokens = stats.computed_tokens,
            .prefix_queried_tokens = stats.prefix_queried_tokens,
            .prefix_hit_tokens = stats.prefix_hit_tokens,
            .prefix_evictions = stats.prefix_evictions,
            .prefix_idle_blocks = stats.prefix_idle_blocks,
            .drafts = stats.drafts,
            .draft_tokens = stats.draft_tokens,
            .accepted_draft_tokens = stats.accepted_draft_tokens,
            .heartbeat_ns = std::max(stats.heartbeat_ns, created_ns_),
            .decode_rows = stats.decode_rows, .prompt_rows = stats.prompt_rows,
            .tbt_target_ns = stats.tbt_target_ns,
            .prompt_rows_allowed = stats.prompt_rows_allowed,
            .step_ms = SpreadOf(stats.step_ms), .batch = SpreadOf(stats.batch)};
  }
  void CloseIntake() override { parts_.engine->CloseIntake(); }

 private:
  const NativeParts parts_;  // its last members, writer and engine, end first
  const Facts facts_;
  const int64_t created_ns_ = NowNs();  // the loop's first turn comes a moment later
};

}  // namespace

std::unique_ptr<Backend> MakeNativeBackend(NativeParts parts) {
  return std::make_unique<NativeBackend>(std::move(parts));
}

}  // namespace pelton::backend
