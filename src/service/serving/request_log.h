// What became of the last requests and why they took as long as they did: a bounded ring, and the
// figures that an answer carries when asked for.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace pelton::serving {

// Times in ms. Of several sequences: tokens, steps, waits and preemptions are sums, times up to the
// first token are those of the first to give one, the end is that of the last.
struct Timings {
  int sequences = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  double prepare_ms = 0;      // from arrival until submitted: reading, template, tokens
  double queue_ms = 0;        // submitted until first planned
  double prefill_ms = 0;      // first planned until the first token
  double first_token_ms = 0;  // arrival until the first token; 0: none came
  double decode_ms = 0;       // first token until the end
  double total_ms = 0;        // arrival until the end
  int64_t decode_steps = 0, prompt_chunks = 0, preemptions = 0;
  double wait_places_ms = 0;  // for a place in the batch
  double wait_blocks_ms = 0;  // for KV blocks
  double wait_rows_ms = 0;    // for others' prompts
  double wait_reader_ms = 0;  // for its own reader

  void Add(const backend::Usage& usage);  // of one more sequence
  // Once all are added; what came before the submission.
  void Complete(double prepare);
};

struct RequestRecord {
  std::string id{}, model{}, tenant{};
  int64_t arrived_s = 0;  // wall clock
  int priority = 0;       // higher first
  std::string_view finish = {};  // of the first sequence
  Timings timings{};
};

class RequestLog {  // thread-safe
 public:
  static constexpr size_t kRecordsMax = 1000;

  void Add(RequestRecord record);
  // Newest first, at most `count`; of one tenant, or of all.
  std::vector<RequestRecord> Last(const std::optional<std::string>& tenant, size_t count) const;

 private:
  mutable std::mutex mutex_;
  std::deque<RequestRecord> records_;  // guarded by mutex_; oldest first
};

}  // namespace pelton::serving
