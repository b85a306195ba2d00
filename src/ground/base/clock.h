// Time. Durations and deadlines use the monotonic clock; only log and `created` fields use the
// wall clock. Rooms that are simulated take a `const Clock&` so that tests can move time.
#pragma once

#include <atomic>
#include <cstdint>

namespace pelton {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t NowNs() const = 0;   // monotonic, arbitrary origin
  virtual int64_t WallS() const = 0;   // seconds since 1970-01-01 UTC
};

// The real clock; a constant, thread-safe.
const Clock& SystemClock();

inline int64_t NowNs() { return SystemClock().NowNs(); }

// Moves only when told to. Thread-safe.
class FakeClock final : public Clock {
 public:
  int64_t NowNs() const override { return now_ns_.load(std::memory_order_relaxed); }
  int64_t WallS() const override { return 1'700'000'000 + NowNs() / 1'000'000'000; }
  void AdvanceNs(int64_t ns) { now_ns_.fetch_add(ns, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_ns_{0};
};

}  // namespace pelton
