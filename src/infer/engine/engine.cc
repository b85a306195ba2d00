#include "engine/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <thread>
#include <utility>

#include "base/checked.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/inbox.h"
#include "engine/loop.h"
#include "engine/sequence.h"
#include "sampling/candidates.h"

namespace pelton::engine {

namespace {

constexpr int64_t kIdleWaitNs = 100'000'000;  // the heartbeat of an idle engine
constexpr int64_t kPauseGraceNs = 1'000'000'000;  // a slow reader keeps its KV blocks so long
constexpr int kDefaultContextMax = 8192;
constexpr int kContextMax = 1 << 24;
constexpr int kRunningMax = 4096;
constexpr int kWaitingMax = 1 << 20;
constexpr int kDraftRowsMax = 32;   // rows of a step that has drafts; the drafts withdraw above
constexpr double kTbtTargetMaxMs = 60'000;
constexpr size_t kStopsMax = 16;        // stop strings of a request
constexpr size_t kStopBytesMax = 256;   // of one of them

Status CheckOption(const char* name, int value, int low, int high) {
  if (value >= low && value <= high) return OkStatus();
  return InvalidArgument(fmt::format("{} is {}, but must be {} to {}", name, value, low, high))
      .WithParam(name);
}

int BlocksFor(int tokens) { return (tokens - 1) / kernels::kKvBlockTokens + 1; }

// Fills every default, or says which option cannot be.
Result<EngineOptions> Resolve(EngineOptions options, const models::ModelInfo& info, int max_rows) {
  RETURN_IF_ERROR(CheckOption("context", options.context, 0, kContextMax));
  RETURN_IF_ERROR(CheckOption("kv_blocks", options.kv_blocks, 0, kv::kBlocksMax));
  RETURN_IF_ERROR(CheckOption("max_running", options.max_running, 1, kRunningMax));
  RETURN_IF_ERROR(CheckOption("max_waiting", options.max_waiting, 0, kWaitingMax));
  RETURN_IF_ERROR(CheckOption("step_tokens", options.step_tokens, 1, kContextMax));
  RETURN_IF_ERROR(CheckOption("prefill_chunk", options.prefill_chunk, 1, kContextMax));
  if (options.speculation != "auto" && options.speculation != "off") {
    return InvalidArgument(fmt::format("speculation is {}, but must be auto or off",
                                       options.speculation))
        .WithParam("speculation");
  }
  if (!(options.tbt_target_ms >= 0 && options.tbt_target_ms <= kTbtTargetMaxMs)) {
    return InvalidArgument(fmt::format("tbt_target_ms is {}, but must be 0 to {}",
                                       options.tbt_target_ms, kTbtTargetMaxMs))
        .WithParam("tbt_target_ms");
  }
  if (options.context == 1) {
    return InvalidArgument("context is 1, but a prompt and an answer need 2").WithParam("context");
  }
  const bool context_given = options.context != 0;
  const int trained = info.context_length > 1 ? info.context_length : kDefaultContextMax;
  if (!context_given) options.context = std::min(trained, kDefaultContextMax);
  if (options.context > trained) {
    LogWarn("engine", "context {} is more than the model was made for; {} is used",
            options.context, trained);
    options.context = trained;
  }
  options.step_tokens = std::min(std::max(options.step_tokens, options.max_running), max_rows);
  options.max_running = std::min(options.max_running, options.step_tokens);

  return options;
}

// Logits of the largest batch (Batch grows in powers of two; drafts have rows of their own), what
// drawing from them takes at once, and tables that grow with the context.
uint64_t StepBytes(const EngineOptions& options, const models::ModelInfo& info, int threads) {
  constexpr uint64_t kDrawBytes = sizeof(float) + 2 * sizeof(sampling::Candidate);
  const auto vocab = static_cast<uint64_t>(info.vocab_size);
  const int drafts = options.speculation == "off" ? 0 : kDraftRowsMax;
  const auto rows = static_cast<uint64_t>(std::max(options.max_running, drafts));
  return std::bit_ceil(rows) * vocab * sizeof(float) +
         std::min<uint64_t>(threads, options.max_running) * vocab * kDrawBytes +
         info.position_bytes * static_cast<uint64_t>(options.context);
}

// The prefix cache's tables, for a block: an entry, its tokens, its bucket; rounded up.
constexpr uint64_t kPrefixBytesPerBlock = 256;

// The least of a default context that is served when memory is short.
constexpr int kContextLeast = 512;

// The number of KV blocks, and with the default context how much of it they allow.
Status SizeKv(const models::ModelInfo& info, bool context_given, EngineOptions* options) {
  const auto block_bytes = CheckedMul<uint64_t>(info.kv_block_bytes, info.layers);
  if (!block_bytes || *block_bytes == 0) return Internal("the model gives no KV block size");
  const uint64_t free = options->memory.Free();
  if (options->kv_bytes_max > free) {
    return ResourceExhausted(fmt::format("--kv-bytes-max is {}, but {} are free in the {}",
                                         MiBText(options->kv_bytes_max), MiBText(free),
                                         options->memory.Text()));
  }
  const bool size_given = options->kv_bytes_max != 0;
  if (!size_given) {
    // At least one whole context, though others come short then.
    const uint64_t one = static_cast<uint64_t>(BlocksFor(options->context)) * *block_bytes;
    options->kv_bytes_max = std::max(options->memory.KvDefault(), std::min(free, one));
    // Its tables come out of the same part.
    options->kv_bytes_max = static_cast<uint64_t>(static_cast<double>(options->kv_bytes_max) *
                                                  static_cast<double>(*block_bytes) /
                                                  static_cast<double>(*block_bytes +
                                                                      kPrefixBytesPerBlock));
  }
  if (options->kv_blocks == 0) {
    const int64_t wanted = int64_t{BlocksFor(options->context)} * options->max_running;
    const uint64_t fit = options->kv_bytes_max / *block_bytes;
    options->kv_blocks = static_cast<int>(
        std::min({static_cast<uint64_t>(wanted), fit, static_cast<uint64_t>(kv::kBlocksMax)}));
  }
  if (options->kv_blocks >= BlocksFor(options->context)) return OkStatus();
  const int least = context_given ? options->context : std::min(kContextLeast, options->context);
  // A size that was asked for may be as small as one block.
  if (context_given || options->kv_blocks < (size_given ? 1 : BlocksFor(least))) {
    return ResourceExhausted(fmt::format(
        "a context of {} tokens needs {} of KV cache, but there is room for {} tokens in {}; {}",
        least, MiBText(BlocksFor(least) * *block_bytes),
        options->kv_blocks * kernels::kKvBlockTokens, MiBText(options->kv_bytes_max),
        options->memory.Text()));
  }
  options->context = options->kv_blocks * kernels::kKvBlockTokens;
  LogWarn("engine", "the KV cache has room for {} tokens only; that is the context now",
          options->context);
  return OkStatus();
}

// What one engine holds of the memory budget.
struct Holds {
  MemoryBudget::Hold step, kv, prefix;
};

// Blocks on disk are for this very model and these kernels.
PrefixOptions PrefixOf(const EngineOptions& options, const kernels::KernelTable& table,
                       const models::ModelInfo& info) {
  PrefixOptions prefix;
  prefix.on = options.prefix_cache;
  prefix.hooks = options.prefix_test_hooks;
  prefix.disk = options.prefix_disk;
  if (prefix.disk != nullptr) {
    prefix.scope = fmt::format("{}|{}|{}|{}|{}|{}|{}", options.prefix_scope, prefix.disk->build(),
                               table.name, kernels::kKvLayoutVersion, info.layers,
                               info.kv_block_bytes, kernels::kKvBlockTokens);
  }
  return prefix;
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(std::shared_ptr<models::Model> model, std::shared_ptr<const text::Tokenizer> tokenizer,
             nn::Team& team, const kernels::KernelTable& table, const EngineOptions& options,
             kv::KvStorage storage, Holds holds)
      : holds_(std::move(holds)),
        model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        table_(table),
        context_(options.context),
        sequences_max_(options.max_running + options.max_waiting),
        vocab_size_(model_->info().vocab_size),
        inbox_(sequences_max_, SystemClock()),
        loop_({.model = *model_,
               .tokenizer = *tokenizer_,
               .team = team,
               .clock = SystemClock(),
               .inbox = inbox_},
              {.step_tokens = options.step_tokens,
               .prefill_chunk = options.prefill_chunk,
               .max_running = options.max_running,
               .block_tokens = kernels::kKvBlockTokens,
               .draft_rows = options.speculation == "off" ? 0 : kDraftRowsMax},
              kPauseGraceNs, std::move(storage),
              PrefixOf(options, table, model_->info()),
              static_cast<int64_t>(options.tbt_target_ms * 1e6)),
        thread_(StartThread("engine", [this](std::stop_token stop) { Run(std::move(stop)); })) {}

  ~EngineImpl() override {
    inbox_.Close();
    thread_.request_stop();
    inbox_.Wake();
    thread_.join();
  }

  RequestId NextRequestId() override { return next_id_.fetch_add(1, std::memory_order_relaxed); }

  Status Submit(EngineRequest request, std::shared_ptr<DeltaSink> sink) override {
    if (sink == nullptr) return InvalidArgument("a request needs a sink");
    RETURN_IF_ERROR(Check(request));
    return inbox_.Put(std::make_unique<Sequence>(std::move(request), std::move(sink), *tokenizer_,
                                                 vocab_size_, table_, context_, NowNs()));
  }

  void Cancel(RequestId id) override { inbox_.Cancel(id); }
  void Resume(RequestId id) override { inbox_.Resume(id); }
  void CloseIntake() override { inbox_.Close(); }
  EngineStats Stats() const override { return loop_.Stats(); }
  int context() const override { return context_; }
  int sequences_max() const override { return sequences_max_; }
  int64_t kv_tokens() const override {
    return int64_t{loop_.cache().pool().total()} * kernels::kKvBlockTokens;
  }
  const models::ModelInfo& info() const override { return model_->info(); }

 private:
  void Run(std::stop_token stop) {
    while (!stop.stop_requested()) loop_.Turn(kIdleWaitNs);
    loop_.CancelAll();
  }

  Status Check(const EngineRequest& request) const {
    if (request.prompt.empty()) return InvalidArgument("the prompt is empty").WithParam("prompt");
    if (request.prompt.size() >= static_cast<size_t>(context_)) {
      return InvalidArgument(fmt::format("the prompt has {} tokens, but the context holds {}, the "
                                         "answer included",
                                         request.prompt.size(), context_))
          .WithParam("prompt");
    }
    for (const text::TokenId id : request.prompt) {
      if (id >= 0 && id < vocab_size_) continue;
      return InvalidArgument(fmt::format("token id {} is not in the vocabulary of {}", id,
                                         vocab_size_))
          .WithParam("prompt");
    }
    if (request.max_tokens < 1) {
      return InvalidArgument(fmt::format("max_tokens is {}, but must be at least 1",
                                         request.max_tokens))
          .WithParam("max_tokens");
    }
    if (request.stop.size() > kStopsMax) {
      return InvalidArgument(fmt::format("{} stop strings, but at most {} are taken",
                                         request.stop.size(), kStopsMax))
          .WithParam("stop");
    }
    for (const std::string& stop : request.stop) {
      if (!stop.empty() && stop.size() <= kStopBytesMax) continue;
      return InvalidArgument(fmt::format("a stop string has {} bytes, but must have 1 to {}",
                                         stop.size(), kStopBytesMax))
          .WithParam("stop");
    }
    if (!(request.tenant_weight > 0) || !std::isfinite(request.tenant_weight)) {
      return InvalidArgument("a tenant's weight must be above 0").WithParam("tenant_weight");
    }
    return sampling::CheckParams(request.sampling, vocab_size_);
  }

  const Holds holds_;  // first: given back after everything is gone
  const std::shared_ptr<models::Model> model_;
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const kernels::KernelTable& table_;
  const int context_;
  const int sequences_max_;
  const int vocab_size_;
  std::atomic<RequestId> next_id_{1};
  Inbox inbox_;
  Loop loop_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<models::Model> model,
                                               std::shared_ptr<const text::Tokenizer> tokenizer,
                                               nn::Team& team, const kernels::KernelTable& table,
                                               const EngineOptions& options) {
  const models::ModelInfo& info = model->info();
  if (tokenizer->vocab_size() > info.vocab_size) {
    return InvalidArgument(fmt::format("the tokenizer has {} tokens, the model {}",
                                       tokenizer->vocab_size(), info.vocab_size));
  }
  auto resolved = Resolve(options, info, model->MaxRows());
  RETURN_IF_ERROR(resolved.status());
  Holds holds;
  auto step = resolved->memory.Take("step", StepBytes(*resolved, info, team.size()));
  RETURN_IF_ERROR(step.status());
  holds.step = *std::move(step);
  RETURN_IF_ERROR(SizeKv(info, options.context != 0, &*resolved));
  auto kv = resolved->memory.Take(
      "kv", static_cast<uint64_t>(resolved->kv_blocks) * info.kv_block_bytes *
                static_cast<uint64_t>(info.layers));
  RETURN_IF_ERROR(kv.status());
  holds.kv = *std::move(kv);
  auto prefix = resolved->memory.Take(
      "prefix", static_cast<uint64_t>(resolved->kv_blocks) * kPrefixBytesPerBlock);
  RETURN_IF_ERROR(prefix.status());
  holds.prefix = *std::move(prefix);
  auto storage = kv::KvStorage::Create(info.layers, resolved->kv_blocks, info.kv_block_bytes);
  RETURN_IF_ERROR(storage.status());
  return std::unique_ptr<Engine>(
      std::make_unique<EngineImpl>(std::move(model), std::move(tokenizer), team, table, *resolved,
                                   *std::move(storage), std::move(holds)));
}

}  // namespace pelton::engine
