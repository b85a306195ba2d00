// Sends the plan's requests and notes when their events come. One thread, one epoll.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "load/plan.h"

namespace pelton::load {

// One request, as its client saw it. Times are NowNs(); 0: never.
struct Record {
  int stream = 0;
  int round = 0;  // which request of its stream
  int64_t sent_ns = 0;
  int64_t end_ns = 0;
  std::vector<int64_t> text_ns;  // of each event that carried text
  int64_t prompt_tokens = -1;    // the server's count; -1: it gave none
  int64_t completion_tokens = -1;
  Status status;

  int64_t first_ns() const { return text_ns.empty() ? 0 : text_ns.front(); }
  int64_t last_ns() const { return text_ns.empty() ? 0 : text_ns.back(); }
  int64_t tokens() const {
    return completion_tokens >= 0 ? completion_tokens : static_cast<int64_t>(text_ns.size());
  }
};

// The records that count, without the warm-up; in no order. Requests that failed are among them. An
// error only when nothing can be sent at all, or the time is over. `progress` (may be empty) is
// told how many requests have ended, the warm-up's too.
Result<std::vector<Record>> RunPlan(const Plan& plan,
                                    const std::function<void(int done, int total)>& progress);

}  // namespace pelton::load
