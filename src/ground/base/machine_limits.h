// What the machine and its control groups (v1 and v2) let this process take: CPU time and memory.
// Every function reads anew, so that limits changed while running are seen. All are thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pelton {

// Where the kernel's files are; tests give a folder of their own.
struct SystemRoot {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
};

// CPUs worth of time, the tightest of the process's group and all above; nothing when unlimited.
std::optional<double> CgroupCpuQuota(const SystemRoot& root = {});

// How often a quota held the process's group back, since the group was made. Zero without a quota.
struct CpuThrottling {
  uint64_t periods = 0;           // periods in which the group ran
  uint64_t throttled_periods = 0; // those in which it was held back
  uint64_t throttled_us = 0;      // time so lost, added over CPUs
};
CpuThrottling ReadCpuThrottling(const SystemRoot& root = {});

struct MemoryState {
  uint64_t limit_bytes = 0;      // the smaller of physical memory and the cgroups' limits
  // What may still be taken before that limit. File pages that the kernel can drop count as free:
  // a mapped model file fills a group's account without being needed.
  uint64_t available_bytes = 0;
  uint64_t resident_bytes = 0;   // of this process
  bool limited_by_cgroup = false;
};
MemoryState ReadMemoryState(const SystemRoot& root = {});

}  // namespace pelton
