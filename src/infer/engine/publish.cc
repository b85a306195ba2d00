// Deltas to their sinks, numbers to Stats. A sink that says kPause is not stepped until Resume.
#include <algorithm>
#include <utility>

#include "engine/loop.h"

namespace pelton::engine {

void Loop::Publish() {
  CountStep();  // first: who hears of a finish finds its blocks free in Stats
  for (const auto& sequence : ranked_) {
    if (sequence->has_delta) Deliver(*sequence);
  }
  for (const auto& sequence : finished_) Deliver(*sequence);
  finished_.clear();
}

void Loop::Deliver(Sequence& sequence) {
  if (!sequence.finish && sequence.delta.text.empty() && sequence.delta.tokens.empty()) {
    return;  // all of it waits for text
  }
  const int64_t now_ns = parts_.clock.NowNs();
  const auto since_submit = [&](int64_t at_ns) {
    return at_ns == 0 ? int64_t{0} : at_ns - sequence.submit_ns;
  };
  Delta delta = std::exchange(sequence.delta, {});
  sequence.has_delta = false;
  delta.finish = sequence.finish;
  delta.usage = sequence.usage;
  delta.usage.prompt_tokens = sequence.prompt_tokens;
  delta.usage.completion_tokens = sequence.generated();
  delta.usage.cached_tokens = sequence.cached_tokens;
  delta.usage.queue_ns = since_submit(sequence.planned_ns);
  delta.usage.first_token_ns = since_submit(sequence.first_token_ns);
  delta.usage.total_ns = now_ns - sequence.submit_ns;
  const Flow flow = sequence.sink->OnDelta(std::move(delta));
  if (flow == Flow::kPause) Pause(sequence);
}

void Loop::CountStep() {
  const int64_t now_ns = parts_.clock.NowNs();
  if (!batch_.empty()) {
    ++counts_.steps;
    counts_.last_step_end_ns = now_ns;
    counts_.decode_rows += static_cast<uint64_t>(batch_.shape().decode_rows);
    counts_.prompt_rows += static_cast<uint64_t>(batch_.shape().prompt_rows);
    counts_.step_ms.Add(static_cast<double>(now_ns - turn_begin_ns_) * 1e-6);
    counts_.batch.Add(static_cast<double>(batch_.members().size()));
    counts_.tbt_target_ns = pace_.target_ns();
    counts_.prompt_rows_allowed = pace_.prompt_rows();
    pace_.Observe(batch_.shape(), now_ns - turn_begin_ns_);
  }
  counts_.heartbeat_ns = now_ns;
  counts_.running = 0;
  counts_.waiting = 0;
  for (const auto& sequence : ranked_) ++(sequence->running ? counts_.running : counts_.waiting);
  counts_.kv_blocks = cache_.pool().total();
  counts_.kv_blocks_used = cache_.pool().total() - cache_.available();
  counts_.prefix_idle_blocks = cache_.idle();
  counts_.prefix_evictions = cache_.evictions();
  const std::lock_guard lock(stats_mutex_);
  stats_ = counts_;
}

EngineStats Loop::Stats() const {
  EngineStats stats;
  {
    const std::lock_guard lock(stats_mutex_);
    stats = stats_;
  }
  // Requests still in the inbox wait too; they may just have been taken out of it.
  stats.waiting = std::max(stats.waiting, parts_.inbox.alive() - stats.running);
  stats.requests_refused = parts_.inbox.refused();
  return stats;
}

}  // namespace pelton::engine
