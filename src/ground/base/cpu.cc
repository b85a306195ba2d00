#include "base/cpu.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <sstream>

#include "base/cpu_watch.h"

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

int ComputeThreadBudget() { return ReadCpuBudget().threads; }

}  // namespace pelton
