// One request inside the engine: its tokens, its KV blocks, its sampler, its output. Made by Submit
// on the caller's thread, from then on owned by the engine thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/drafter.h"
#include "engine/engine.h"
#include "engine/output_text.h"
#include "kv/block_pool.h"
#include "kv/disk_cache.h"
#include "kv/prefix_hash.h"
#include "sampling/sampling.h"

namespace pelton::engine {

struct Sequence {
  Sequence(EngineRequest r, std::shared_ptr<DeltaSink> s, const text::Tokenizer& tokenizer,
           int vocab_size, const kernels::KernelTable& table, int context, int64_t now_ns)
      : request(std::move(r)),
        sink(std::move(s)),
        tokens(std::move(request.prompt)),
        prompt_tokens(static_cast<int>(tokens.size())),
        max_tokens(std::min(request.max_tokens, context - prompt_tokens)),
        sampler(request.sampling, tokens, vocab_size, table),
        output(tokenizer, std::move(request.stop),
               {.include_stop_in_text = request.include_stop_in_text,
                .special_tokens_in_text = request.special_tokens_in_text,
                .tokens_wait_for_text = request.sampling.top_logprobs >= 0}),
        drafter(prompt_tokens + max_tokens),
        submit_ns(now_ns),
        wait_seen_ns(now_ns) {}

  int known() const { return static_cast<int>(tokens.size()); }
  int generated() const { return known() - prompt_tokens; }

  EngineRequest request;  // prompt and stop have moved out
  const std::shared_ptr<DeltaSink> sink;
  uint64_t arrival = 0;  // order of arrival
  int tenant = 0;        // index in the loop's FairQueue

  std::vector<text::TokenId> tokens;  // prompt, then generated
  const int prompt_tokens;
  const int max_tokens;               // clamped to the context

  int computed = 0;                   // positions in the KV cache
  std::vector<kv::BlockId> blocks;    // block of positions [16i, 16i + 16)
  // Prefix cache (prefix.cc).
  kv::PrefixChain chain;              // names of its full blocks
  int kept = 0;                       // of `blocks`, how many the cache knows by their text
  std::vector<kv::BlockId> found;     // waiting: first blocks that the cache has; nothing holds them
  uint64_t found_at = 0;              // the cache's count of evictions then
  bool waits = false;                 // waiting: for another one to compute its next block
  std::shared_ptr<kv::DiskRead> load;  // waiting: blocks on their way from the disk
  int load_next = 0;                  // number of the next of them
  int64_t load_since_ns = 0;          // of the last one
  bool load_tried = false;            // since it last began to wait
  int cached_tokens = 0;              // of the prompt, not computed when it was first admitted
  int served = 0;                     // positions its tenant has been charged for or found
  int served_at_admission = 0;
  bool running = false;
  bool started = false;
  bool paused = false;
  int64_t paused_since_ns = 0;  // while paused
  int64_t paused_ns = 0;        // in earlier pauses since it was last admitted

  sampling::Sampler sampler;
  OutputText output;
  Drafter drafter;  // unused without speculation

  // Of this step.
  int rows = 0;
  int draft_rows = 0;                      // further rows: the first tokens of the drafter's draft
  std::vector<sampling::Sample> samples;   // one, and one more for each draft token that was right
  Delta delta;
  bool has_delta = false;
  std::optional<FinishReason> finish;

  const int64_t submit_ns;
  int64_t planned_ns = 0;
  int64_t first_token_ns = 0;
  int64_t wait_seen_ns;      // until then its waiting has been counted
  Usage usage;               // steps and waits so far; the rest is filled in by Publish
};

}  // namespace pelton::engine
