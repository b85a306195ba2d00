#include "serving/request_log.h"

#include <algorithm>
#include <utility>

namespace pelton::serving {
namespace {

double Ms(int64_t ns) { return static_cast<double>(ns) * 1e-6; }

}  // namespace

void Timings::Add(const backend::Usage& usage) {
  ++sequences;
  prompt_tokens += usage.prompt_tokens;
  cached_tokens += usage.cached_tokens;
  completion_tokens += usage.completion_tokens;
  const bool answered = usage.completion_tokens > 0;
  if (answered && (first_token_ms == 0 || Ms(usage.first_token_ns) < first_token_ms)) {
    first_token_ms = Ms(usage.first_token_ns);
    queue_ms = Ms(usage.queue_ns);
    prefill_ms = first_token_ms - queue_ms;
  }
  total_ms = std::max(total_ms, Ms(usage.total_ns));
  decode_steps += usage.decode_steps;
  prompt_chunks += usage.prompt_chunks;
  preemptions += usage.preemptions;
  wait_places_ms += Ms(usage.wait_places_ns);
  wait_blocks_ms += Ms(usage.wait_blocks_ns);
  wait_rows_ms += Ms(usage.wait_rows_ns);
  wait_reader_ms += Ms(usage.wait_reader_ns);
}

void Timings::Complete(double prepare) {
  prepare_ms = std::max(0., prepare);
  if (first_token_ms > 0) {
    decode_ms = total_ms - first_token_ms;
    first_token_ms += prepare_ms;
  } else {
    queue_ms = total_ms;  // dropped or ended before its first token
  }
  total_ms += prepare_ms;
}

void RequestLog::Add(RequestRecord record) {
  const std::lock_guard lock(mutex_);
  records_.push_back(std::move(record));
  if (records_.size() > kRecordsMax) records_.pop_front();
}

std::vector<RequestRecord> RequestLog::Last(const std::optional<std::string>& tenant,
                                            size_t count) const {
  std::vector<RequestRecord> last;
  const std::lock_guard lock(mutex_);
  for (auto it = records_.rbegin(); it != records_.rend() && last.size() < count; ++it) {
    if (!tenant || it->tenant == *tenant) last.push_back(*it);
  }
  return last;
}

}  // namespace pelton::serving
