#include "base/cpu.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>

namespace pelton {
namespace {

constexpr int kArchReqXcompPerm = 0x1023;  // asm/prctl.h
constexpr int kXfeatureXtiledata = 18;

struct CpuidLeaf {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

CpuidLeaf Cpuid(uint32_t leaf, uint32_t sub) {
  CpuidLeaf r;
  if (__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

bool Bit(uint32_t word, int bit) { return ((word >> bit) & 1U) != 0; }

// XCR0 by XGETBV; only legal once CPUID.1:ECX.OSXSAVE is set.
uint64_t ReadXcr0() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

CpuFeatures Detect() {
  CpuFeatures f;
  const CpuidLeaf one = Cpuid(1, 0);
  if (!Bit(one.c, 27)) return f;  // OSXSAVE
  const uint64_t xcr0 = ReadXcr0();
  const bool ymm = (xcr0 & 0x6) == 0x6;
  const bool zmm = ymm && (xcr0 & 0xe0) == 0xe0;
  const bool tiles = (xcr0 & 0x60000) == 0x60000;
  const CpuidLeaf seven = Cpuid(7, 0);
  const CpuidLeaf seven1 = Cpuid(7, 1);
  f.avx2 = ymm && Bit(seven.b, 5) && Bit(one.c, 12) && Bit(one.c, 29);
  f.avx512 = f.avx2 && zmm && Bit(seven.b, 16) && Bit(seven.b, 17) && Bit(seven.b, 30) &&
             Bit(seven.b, 31) && Bit(seven.b, 28);
  f.avx512_vnni = f.avx512 && Bit(seven.c, 11);
  f.avx512_bf16 = f.avx512 && Bit(seven1.a, 5);
  f.avx512_fp16 = f.avx512 && Bit(seven.d, 23);
  if (f.avx512 && tiles && Bit(seven.d, 24) &&
      syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0) {
    f.amx_bf16 = Bit(seven.d, 22);
    f.amx_int8 = Bit(seven.d, 25);
  }
  return f;
}

std::string ReadSmallFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::optional<int64_t> ReadNumber(const std::string& path) {
  const std::string text = ReadSmallFile(path);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// Folder of this process's cgroup for a v1 controller ("cpu", "memory") or for v2 ("").
// /proc/self/cgroup has lines "id:controllers:path" (cgroups(7)).
std::string CgroupPath(const std::string& controller) {
  std::istringstream lines(ReadSmallFile("/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (names.find("," + controller + ",") != std::string::npos) return line.substr(second + 1);
  }
  return "/";
}

// The tightest value over a cgroup folder and its parents; `read` gives a value for a folder.
template <typename Read>
auto TightestUpwards(const std::string& root, std::string path, Read read) {
  auto best = read(root + path);
  while (path.size() > 1) {
    path.resize(path.find_last_of('/'));
    if (path.empty()) path = "/";
    const auto here = read(root + path);
    if (here && (!best || *here < *best)) best = here;
    if (path == "/") break;
  }
  return best;
}

std::optional<double> QuotaV2(const std::string& folder) {
  std::istringstream text(ReadSmallFile(folder + "/cpu.max"));
  std::string quota;
  double period = 0;
  if (!(text >> quota >> period) || quota == "max" || period <= 0) return std::nullopt;
  const double value = std::strtod(quota.c_str(), nullptr);
  return value > 0 ? std::optional(value / period) : std::nullopt;
}

std::optional<double> QuotaV1(const std::string& folder) {
  const auto quota = ReadNumber(folder + "/cpu.cfs_quota_us");
  const auto period = ReadNumber(folder + "/cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

template <typename T>
std::optional<T> Smaller(std::optional<T> a, std::optional<T> b) {
  if (!a) return b;
  if (!b) return a;
  return std::min(*a, *b);
}

uint64_t MeminfoBytes(const std::string& meminfo, const std::string& key) {
  const size_t at = meminfo.find(key + ":");
  if (at == std::string::npos) return 0;
  return std::strtoull(meminfo.c_str() + at + key.size() + 1, nullptr, 10) * 1024;
}

}  // namespace

const CpuFeatures& UsableCpuFeatures() {
  static const CpuFeatures features = Detect();
  return features;
}

std::string CpuModelName() {
  std::istringstream lines(ReadSmallFile("/proc/cpuinfo"));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

std::vector<int> AffinityCpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus.empty() ? std::vector<int>{0} : cpus;
}

std::optional<double> CgroupCpuQuota() {
  const auto v2 = TightestUpwards("/sys/fs/cgroup", CgroupPath(""), QuotaV2);
  auto v1 = TightestUpwards("/sys/fs/cgroup/cpu", CgroupPath("cpu"), QuotaV1);
  if (!v1) v1 = QuotaV1("/sys/fs/cgroup/cpu");  // inside a container the path may not exist
  return Smaller(v2, v1);
}

int ComputeThreadBudget() {
  const auto cpus = static_cast<int>(AffinityCpus().size());
  const auto quota = CgroupCpuQuota();
  if (!quota) return std::max(1, cpus);
  return std::clamp(static_cast<int>(std::floor(*quota + 1e-6)), 1, std::max(1, cpus));
}

MemoryState ReadMemoryState() {
  MemoryState state;
  const std::string meminfo = ReadSmallFile("/proc/meminfo");
  state.limit_bytes = MeminfoBytes(meminfo, "MemTotal");
  state.available_bytes = MeminfoBytes(meminfo, "MemAvailable");
  struct Source {
    const char* root;
    const char* controller;
    const char* limit;
    const char* usage;
  };
  static constexpr Source kSources[] = {
      {"/sys/fs/cgroup", "", "/memory.max", "/memory.current"},
      {"/sys/fs/cgroup/memory", "memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes"}};
  for (const Source& source : kSources) {
    for (const std::string& path : {CgroupPath(source.controller), std::string("/")}) {
      const auto limit = ReadNumber(source.root + path + source.limit);
      if (!limit || *limit <= 0) continue;
      const auto used = ReadNumber(source.root + path + source.usage).value_or(0);
      const auto limit_bytes = static_cast<uint64_t>(*limit);
      const auto used_bytes = static_cast<uint64_t>(std::max<int64_t>(0, used));
      state.limit_bytes = std::min(state.limit_bytes, limit_bytes);
      state.available_bytes = std::min(
          state.available_bytes, limit_bytes > used_bytes ? limit_bytes - used_bytes : 0);
    }
  }
  std::istringstream statm(ReadSmallFile("/proc/self/statm"));
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  state.resident_bytes = resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return state;
}

}  // namespace pelton
