#include "base/machine_limits.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <vector>

namespace pelton {
namespace {

std::string ReadSmallFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The number that a text begins with; nothing for "max" and for absent files.
std::optional<int64_t> NumberOf(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::optional<int64_t> ReadNumber(const std::string& path) { return NumberOf(ReadSmallFile(path)); }

// The value of `key` in lines "key value" (cpu.stat, memory.stat) or "key:  value kB" (meminfo).
uint64_t ValueOf(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key) || line.size() <= key.size()) continue;
    const char next = line[key.size()];
    if (next != ' ' && next != ':') continue;
    const size_t digit = line.find_first_of("0123456789", key.size());
    if (digit == std::string::npos) return 0;
    return static_cast<uint64_t>(std::max<int64_t>(0, NumberOf(line.substr(digit)).value_or(0)));
  }
  return 0;
}

// Path of this process's group for a v1 controller ("cpu", "memory") or for v2 ("").
// /proc/self/cgroup has lines "id:controllers:path" (cgroups(7)).
std::string GroupPath(const SystemRoot& root, const std::string& controller) {
  std::istringstream lines(ReadSmallFile(root.proc + "/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (names.find("," + controller + ",") != std::string::npos) return line.substr(second + 1);
  }
  return "/";
}

// The folders whose limits bind: the process's group and all above it, lowest first. Inside a
// container the path may not exist below the mount; then the mount itself, its last, has the limits.
std::vector<std::string> GroupFolders(const SystemRoot& root, const std::string& controller) {
  const std::string mount = controller.empty() ? root.cgroup : root.cgroup + "/" + controller;
  std::vector<std::string> folders;
  for (std::string path = GroupPath(root, controller); path.size() > 1;) {
    folders.push_back(mount + path);
    path.resize(path.find_last_of('/'));
  }
  folders.push_back(mount);
  return folders;
}

std::optional<double> QuotaV2(const std::string& folder) {
  std::istringstream text(ReadSmallFile(folder + "/cpu.max"));
  std::string quota;
  double period = 0;
  if (!(text >> quota >> period) || quota == "max" || period <= 0) return std::nullopt;
  const auto value = NumberOf(quota);
  return value && *value > 0 ? std::optional(static_cast<double>(*value) / period) : std::nullopt;
}

std::optional<double> QuotaV1(const std::string& folder) {
  const auto quota = ReadNumber(folder + "/cpu.cfs_quota_us");
  const auto period = ReadNumber(folder + "/cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

// Names of the files of one version of control groups.
struct MemoryFiles {
  const char* controller;
  const char* limit;
  const char* usage;
  const char* inactive;
  const char* active;
};
constexpr MemoryFiles kMemoryV2 = {"", "/memory.max", "/memory.current", "inactive_file",
                                   "active_file"};
constexpr MemoryFiles kMemoryV1 = {"memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                                   "total_inactive_file", "total_active_file"};

void ApplyMemoryLimits(const SystemRoot& root, const MemoryFiles& files, MemoryState* state) {
  for (const std::string& folder : GroupFolders(root, files.controller)) {
    const auto limit = ReadNumber(folder + files.limit);
    if (!limit || *limit <= 0) continue;
    const auto limit_bytes = static_cast<uint64_t>(*limit);
    // Without a limit v1 says 2^63 less a page.
    if (limit_bytes >= state->limit_bytes && limit_bytes > (uint64_t{1} << 60)) continue;
    const auto usage = static_cast<uint64_t>(
        std::max<int64_t>(0, ReadNumber(folder + files.usage).value_or(0)));
    const std::string stat = ReadSmallFile(folder + "/memory.stat");
    const uint64_t droppable = ValueOf(stat, files.inactive) + ValueOf(stat, files.active);
    const uint64_t used = usage > droppable ? usage - droppable : 0;
    if (limit_bytes < state->limit_bytes) {
      state->limit_bytes = limit_bytes;
      state->limited_by_cgroup = true;
    }
    state->available_bytes =
        std::min(state->available_bytes, limit_bytes > used ? limit_bytes - used : 0);
  }
}

}  // namespace

std::optional<double> CgroupCpuQuota(const SystemRoot& root) {
  std::optional<double> tightest;
  const auto take = [&](std::optional<double> quota) {
    if (quota && (!tightest || *quota < *tightest)) tightest = quota;
  };
  for (const std::string& folder : GroupFolders(root, "")) take(QuotaV2(folder));
  for (const std::string& folder : GroupFolders(root, "cpu")) take(QuotaV1(folder));
  return tightest;
}

CpuThrottling ReadCpuThrottling(const SystemRoot& root) {
  CpuThrottling worst;
  const auto take = [&](const std::string& folder) {
    const std::string stat = ReadSmallFile(folder + "/cpu.stat");
    CpuThrottling here{ValueOf(stat, "nr_periods"), ValueOf(stat, "nr_throttled"),
                       ValueOf(stat, "throttled_usec")};
    // v1 counts nanoseconds.
    if (here.throttled_us == 0) here.throttled_us = ValueOf(stat, "throttled_time") / 1000;
    if (here.throttled_us >= worst.throttled_us) worst = here;
  };
  for (const std::string& folder : GroupFolders(root, "")) take(folder);
  for (const std::string& folder : GroupFolders(root, "cpu")) take(folder);
  return worst;
}

MemoryState ReadMemoryState(const SystemRoot& root) {
  MemoryState state;
  const std::string meminfo = ReadSmallFile(root.proc + "/meminfo");
  state.limit_bytes = ValueOf(meminfo, "MemTotal") * 1024;
  state.available_bytes = ValueOf(meminfo, "MemAvailable") * 1024;
  ApplyMemoryLimits(root, kMemoryV2, &state);
  ApplyMemoryLimits(root, kMemoryV1, &state);
  std::istringstream statm(ReadSmallFile(root.proc + "/self/statm"));
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  state.resident_bytes = resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return state;
}

}  // namespace pelton
