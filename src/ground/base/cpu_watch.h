// Follows what the machine lets this process compute with, while it runs: affinity and the cgroup's
// quota may change, and a quota may hold the process back.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/machine_limits.h"

namespace pelton {

struct CpuBudget {
  int cpus = 1;                 // by affinity
  std::optional<double> quota;  // CPUs worth of time; nothing: unlimited
  int threads = 1;              // that compute: min(cpus, floor(quota)), at least 1

  // True when threads that only wait eat time that working ones would need.
  bool scarce() const { return quota && *quota < static_cast<double>(cpus); }
  bool operator==(const CpuBudget&) const = default;
};
CpuBudget ReadCpuBudget(const SystemRoot& root = {});

class CpuWatch {  // thread-safe
 public:
  using OnChange = std::function<void(const CpuBudget&)>;
  static constexpr int kIntervalMs = 2000;
  static constexpr int64_t kWarnIntervalNs = 60'000'000'000;  // at most one warning in that time
  // Held back for so large a part of the time between two looks is worth a warning.
  static constexpr double kWarnShare = 0.05;

  // `changed` is called at once with what there is, then on the thread "cpu-watch" whenever that
  // changes. interval_ms 0: no thread; only Look reads.
  explicit CpuWatch(OnChange changed, int interval_ms = kIntervalMs, SystemRoot root = {});
  ~CpuWatch();

  // One look at time `now_ns`; true when it warned of throttling.
  bool Look(int64_t now_ns);

  CpuBudget budget() const;
  CpuThrottling throttling() const;  // since this watch began

 private:
  const OnChange changed_;
  const SystemRoot root_;
  mutable std::mutex mutex_;
  CpuBudget budget_;         // guarded by mutex_
  CpuThrottling first_;      // guarded by mutex_
  CpuThrottling last_;       // guarded by mutex_
  int64_t last_look_ns_ = 0;
  int64_t last_warning_ns_ = 0;
  std::jthread thread_;
};

}  // namespace pelton
