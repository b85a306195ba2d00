#include "engine/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/inbox.h"
#include "engine/loop.h"
#include "engine/sequence.h"

namespace pelton::engine {

namespace {

constexpr int64_t kIdleWaitNs = 100'000'000;  // the heartbeat of an idle engine
constexpr int64_t kPauseGraceNs = 1'000'000'000;  // a slow reader keeps its KV blocks so long
constexpr int kDefaultContextMax = 8192;
constexpr int kContextMax = 1 << 24;
constexpr int kRunningMax = 4096;
constexpr int kWaitingMax = 1 << 20;
constexpr int kDraftRowsMax = 32;   // rows of a step that has drafts; the drafts withdraw above
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

  const auto block_bytes = CheckedMul<uint64_t>(info.kv_block_bytes, info.layers);
  if (!block_bytes || *block_bytes == 0) return Internal("the model gives no KV block size");
  if (options.kv_bytes_max == 0) options.kv_bytes_max = ReadMemoryState().available_bytes / 4;
  if (options.kv_blocks == 0) {
    const int64_t wanted = int64_t{BlocksFor(options.context)} * options.max_running;
    const uint64_t fit = options.kv_bytes_max / *block_bytes;
    options.kv_blocks = static_cast<int>(
        std::min({static_cast<uint64_t>(wanted), fit, static_cast<uint64_t>(kv::kBlocksMax)}));
  }
  if (options.kv_blocks < BlocksFor(options.context)) {
    if (context_given || options.kv_blocks < 1) {
      return ResourceExhausted(fmt::format(
          "a context of {} tokens needs {} MiB of KV cache, but {} MiB are allowed",
          options.context, (BlocksFor(options.context) * *block_bytes) >> 20,
          (static_cast<uint64_t>(options.kv_blocks) * *block_bytes) >> 20));
    }
    options.context = options.kv_blocks * kernels::kKvBlockTokens;
    LogWarn("engine", "the KV cache has room for {} tokens only; that is the context now",
            options.context);
  }
  return options;
}

class EngineImpl final : public Engine {
 public:
  EngineImpl(std::shared_ptr<models::Model> model, std::shared_ptr<const text::Tokenizer> tokenizer,
             nn::Team& team, const kernels::KernelTable& table, const EngineOptions& options,
             kv::KvStorage storage)
      : model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        table_(table),
        context_(options.context),
        vocab_size_(model_->info().vocab_size),
        inbox_(options.max_running + options.max_waiting, SystemClock()),
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
              {.on = options.prefix_cache, .hooks = options.prefix_test_hooks}),
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
    return sampling::CheckParams(request.sampling, vocab_size_);
  }

  const std::shared_ptr<models::Model> model_;
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const kernels::KernelTable& table_;
  const int context_;
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
  auto storage = kv::KvStorage::Create(info.layers, resolved->kv_blocks, info.kv_block_bytes);
  RETURN_IF_ERROR(storage.status());
  return std::unique_ptr<Engine>(
      std::make_unique<EngineImpl>(std::move(model), std::move(tokenizer), team, table, *resolved,
                                   *std::move(storage)));
}

}  // namespace pelton::engine
