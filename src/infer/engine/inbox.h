// Where other threads meet the engine thread: arrivals, cancels, resumes. Bounded by the number of
// requests alive (each can have one arrival, one cancel and one resume under way). Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "engine/sequence.h"

namespace pelton::engine {

class Inbox {
 public:
  struct Mail {
    std::vector<std::unique_ptr<Sequence>> arrivals;
    std::vector<RequestId> cancels, resumes;
  };

  Inbox(int alive_max, const Clock& clock) : alive_max_(alive_max), clock_(clock) {}

  // RESOURCE_EXHAUSTED with a retry-after from the measured pace of finishes; UNAVAILABLE when
  // closed; INVALID_ARGUMENT when the id is alive already.
  Status Put(std::unique_ptr<Sequence> sequence);
  void Cancel(RequestId id);  // ids that are not alive are ignored
  void Resume(RequestId id);
  void Close();               // Put refuses from now on
  void Wake();                // the engine thread looks at its stop token

  // Moves everything into *mail (replaced), waiting up to `wait_ns` for the first item or a Wake.
  void Drain(int64_t wait_ns, Mail* mail);
  void Forget(RequestId id);  // by the engine thread, before the finish is told

  int alive() const;
  uint64_t refused() const;

 private:
  struct Alive {
    bool cancel_sent = false;
    bool resume_sent = false;  // cleared by Drain
  };

  bool HasMailLocked() const;

  const int alive_max_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  // All below guarded by mutex_.
  Mail mail_;
  std::unordered_map<RequestId, Alive> alive_;
  bool closed_ = false;
  bool woken_ = false;
  uint64_t refused_ = 0;
  int64_t last_finish_ns_ = 0;
  int64_t finish_interval_ns_ = 0;  // running mean of the time between finishes while busy
};

}  // namespace pelton::engine
