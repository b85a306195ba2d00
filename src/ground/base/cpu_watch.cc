#include "base/cpu_watch.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <utility>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/thread.h"

namespace pelton {

CpuBudget ReadCpuBudget(const SystemRoot& root) {
  CpuBudget budget;
  budget.cpus = std::max(1, static_cast<int>(AffinityCpus().size()));
  budget.quota = CgroupCpuQuota(root);
  budget.threads = budget.cpus;
  if (budget.quota) {
    // 1.999… is a quota of 2 that was written as a decimal fraction.
    const double whole = std::floor(std::min(*budget.quota, 1e6) + 1e-6);
    budget.threads = std::clamp(static_cast<int>(whole), 1, budget.cpus);
  }
  return budget;
}

CpuWatch::CpuWatch(OnChange changed, int interval_ms, SystemRoot root)
    : changed_(std::move(changed)), root_(std::move(root)), budget_(ReadCpuBudget(root_)),
      first_(ReadCpuThrottling(root_)), last_(first_), last_look_ns_(NowNs()) {
  if (changed_) changed_(budget_);
  if (interval_ms <= 0) return;
  thread_ = StartThread("cpu-watch", [this, interval_ms](std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      wake.wait_for(lock, stop, std::chrono::milliseconds(interval_ms), [] { return false; });
      if (!stop.stop_requested()) Look(NowNs());
    }
  });
}

CpuWatch::~CpuWatch() = default;

bool CpuWatch::Look(int64_t now_ns) {
  const CpuBudget budget = ReadCpuBudget(root_);
  const CpuThrottling throttling = ReadCpuThrottling(root_);
  bool changed = false;
  bool warn = false;
  double lost_s = 0;
  double passed_s = 0;
  {
    const std::lock_guard lock(mutex_);
    changed = budget != budget_;
    budget_ = budget;
    // A group that the process was moved to counts from its own beginning.
    const uint64_t lost_us = throttling.throttled_us >= last_.throttled_us
                                 ? throttling.throttled_us - last_.throttled_us
                                 : 0;
    if (throttling.throttled_us < last_.throttled_us) first_ = throttling;
    last_ = throttling;
    lost_s = static_cast<double>(lost_us) * 1e-6;
    passed_s = static_cast<double>(std::max<int64_t>(1, now_ns - last_look_ns_)) * 1e-9;
    last_look_ns_ = now_ns;
    warn = lost_s > kWarnShare * passed_s &&
           (last_warning_ns_ == 0 || now_ns - last_warning_ns_ >= kWarnIntervalNs);
    if (warn) last_warning_ns_ = now_ns;
  }
  if (changed) {
    LogInfo("cpu", "the CPU budget changed: {} CPUs, quota {}, {} compute threads", budget.cpus,
            budget.quota ? fmt::format("{:.2f}", *budget.quota) : "none", budget.threads);
    if (changed_) changed_(budget);
  }
  if (warn) {
    LogWarn("cpu", "the cgroup's CPU quota ({}) held this process back for {:.1f} s of CPU time in "
            "the last {:.1f} s; answers come in jerks. Raise the quota, or give --threads less",
            budget.quota ? fmt::format("{:.2f} CPUs", *budget.quota) : "none now", lost_s,
            passed_s);
  }
  return warn;
}

CpuBudget CpuWatch::budget() const {
  const std::lock_guard lock(mutex_);
  return budget_;
}

CpuThrottling CpuWatch::throttling() const {
  const std::lock_guard lock(mutex_);
  return {last_.periods - first_.periods, last_.throttled_periods - first_.throttled_periods,
          last_.throttled_us - first_.throttled_us};
}

}  // namespace pelton
