// The engine's public face: Submit, Cancel, Stats. One engine a loaded model, one thread an engine.
// No network, no JSON, no keys in here.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "base/status.h"
#include "kv/prefix_hash.h"
#include "models/model.h"
#include "nn/team.h"
#include "sampling/sampling.h"
#include "text/tokenizer.h"

namespace pelton::kv {
class DiskCache;
}

namespace pelton::engine {

using RequestId = uint64_t;

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kError };

struct EngineRequest {
  RequestId id = 0;  // unique for this engine; from NextRequestId()
  std::string tenant;
  double tenant_weight = 1;  // > 0; part of the machine relative to the other tenants'
  std::vector<text::TokenId> prompt;  // 1 … context - 1 ids, all in the vocabulary
  sampling::SamplingParams sampling;
  int max_tokens = 0;                 // ≥ 1; the engine clamps to what is left of the context
  std::vector<std::string> stop;      // exact, across token borders; not part of the text
  bool include_stop_in_text = false;
  bool ignore_eos = false;
  bool special_tokens_in_text = false;
  int64_t deadline_ns = 0;            // monotonic; 0: none. Queued work past it is never started.
  int priority = 0;                   // higher first
};

struct TokenOut {
  text::TokenId id = 0;
  float logprob = 0.f;
  std::vector<sampling::TokenLogprob> top;
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
  int64_t queue_ns = 0;       // submit → first planned
  int64_t first_token_ns = 0; // submit → first token
  int64_t total_ns = 0;
  int decode_steps = 0;       // steps with its newest token
  int prompt_chunks = 0;      // steps with a part of its prompt, those again after a preemption too
  int preemptions = 0;        // times it had to give its KV blocks back
  // Waiting, by what for; a preempted sequence waits again.
  int64_t wait_places_ns = 0;  // a place among max_running
  int64_t wait_blocks_ns = 0;  // KV blocks
  int64_t wait_rows_ns = 0;    // rows of a step: others' prompts were before it
  int64_t wait_reader_ns = 0;  // its own reader was behind
};

// What a step added to one request. `text` is valid UTF-8 and never contains a stop string or the
// beginning of one that may still complete. With logprobs, `tokens` are those whose text is out.
struct Delta {
  std::string text;
  std::vector<TokenOut> tokens;
  std::optional<FinishReason> finish;  // set on the last delta, exactly once
  std::string stop_match;              // the stop string that ended it, if one did
  Usage usage;                         // filled on every delta
  Status error;                        // with kError
};

// Receives deltas on the engine thread; must not block. Exactly one delta has `finish`; none
// follows it. kPause asks the engine to stop stepping this sequence until Resume(id).
enum class Flow : uint8_t { kContinue, kPause };
class DeltaSink {
 public:
  virtual ~DeltaSink() = default;
  virtual Flow OnDelta(Delta&& delta) = 0;
};

struct EngineOptions {
  int context = 0;               // most tokens of one sequence; 0: the model's own, at most 8192
  int kv_blocks = 0;             // 0: enough for `max_running` contexts within the memory budget
  uint64_t kv_bytes_max = 0;     // 0: what `memory` has free, less what it keeps for others
  int max_running = 64;          // sequences in a step
  int max_waiting = 256;         // requests queued; one more is RESOURCE_EXHAUSTED
  int step_tokens = 512;         // token budget of one step (decode rows first, then prefill)
  int prefill_chunk = 512;       // most prompt tokens of one sequence in a step
  double tbt_target_ms = 0;      // wanted time between tokens while prompts are computed; 0: twice a
                                 // step that only decodes, at least 40
  bool prefix_cache = true;      // equal beginnings of one tenant's texts are computed once
  kv::DiskCache* prefix_disk = nullptr;  // outlives the engine; null: in memory only
  std::string prefix_scope = {};         // the model's fingerprint
  kv::PrefixTestHooks prefix_test_hooks = {};  // no option sets these
  std::string speculation = "auto";  // or "off"
  MemoryShare memory = {};       // KV cache and logits are taken from it
};

// Counts of values by upper bound; the last count is of those beyond.
template <size_t N>
struct Counts {
  std::array<double, N> bounds{};
  std::array<uint64_t, N + 1> counts{};

  void Add(double value) {
    size_t i = 0;
    while (i < N && value > bounds[i]) ++i;
    ++counts[i];
  }
};

struct EngineStats {
  int running = 0, waiting = 0;
  int kv_blocks = 0, kv_blocks_used = 0;
  uint64_t steps = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
  uint64_t computed_tokens = 0;  // rows of all steps: what the prefix cache saves is missing here
  int prefix_idle_blocks = 0;    // kept for whoever comes; not counted as used
  uint64_t prefix_queried_tokens = 0, prefix_hit_tokens = 0;  // of sequences admitted the first time
  uint64_t prefix_evictions = 0;                              // blocks
  uint64_t prefix_loaded_blocks = 0;                          // from the disk
  uint64_t prefix_table_bytes = 0;                            // memory of the cache's own tables
  // Speculation: steps of a sequence with a draft, tokens of these drafts, of those the right ones.
  uint64_t drafts = 0, draft_tokens = 0, accepted_draft_tokens = 0;
  uint64_t requests_finished = 0, requests_cancelled = 0, requests_refused = 0;
  int64_t last_step_end_ns = 0;  // monotonic; with running > 0 it must advance (liveness)
  int64_t heartbeat_ns = 0;      // the loop's last turn, idle or not
  uint64_t decode_rows = 0, prompt_rows = 0;  // computed in all steps, again after preemptions too
  int64_t tbt_target_ns = 0;     // of the last step
  int prompt_rows_allowed = 0;   // beside decoding rows in the last step
  Counts<16> step_ms{{1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000, 3000}, {}};
  Counts<11> batch{{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}, {}};  // sequences in a step
};

class Engine {  // thread-safe
 public:
  static Result<std::unique_ptr<Engine>> Create(std::shared_ptr<models::Model> model,
                                                std::shared_ptr<const text::Tokenizer> tokenizer,
                                                nn::Team& team,
                                                const kernels::KernelTable& table,
                                                const EngineOptions& options);
  virtual ~Engine() = default;  // cancels what runs, joins the thread

  virtual RequestId NextRequestId() = 0;
  // INVALID_ARGUMENT: prompt empty, too long (message has both numbers) or ids out of range.
  // RESOURCE_EXHAUSTED with retry-after: the queue is full. UNAVAILABLE: draining.
  // After OK the sink hears exactly one finish.
  virtual Status Submit(EngineRequest request, std::shared_ptr<DeltaSink> sink) = 0;
  virtual void Cancel(RequestId id) = 0;   // unknown ids are ignored; frees within two steps
  virtual void Resume(RequestId id) = 0;
  virtual EngineStats Stats() const = 0;
  virtual int context() const = 0;         // after defaults
  virtual int sequences_max() const = 0;   // alive at once
  virtual int64_t kv_tokens() const = 0;   // positions that the KV cache holds
  virtual const models::ModelInfo& info() const = 0;
  // Refuses new work from now on; running and waiting requests go on.
  virtual void CloseIntake() = 0;
};

}  // namespace pelton::engine
