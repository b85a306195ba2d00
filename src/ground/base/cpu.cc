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
constexpr int kOsxsave = 27;  // CPUID.1:ECX

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

CpuidWords ReadCpuid() {
  const CpuidLeaf one = Cpuid(1, 0);
  const CpuidLeaf seven = Cpuid(7, 0);
  return {.leaf1_ecx = one.c, .leaf7_ebx = seven.b, .leaf7_ecx = seven.c, .leaf7_edx = seven.d,
          .leaf7_1_eax = seven.a >= 1 ? Cpuid(7, 1).a : 0};
}

// Without this a tile instruction kills the process; granted to all its threads, for good.
bool AskForTiles() {
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

CpuFeatures DetectUsable() {
  const CpuidWords words = ReadCpuid();
  if (!Bit(words.leaf1_ecx, kOsxsave)) return {};
  const uint64_t xcr0 = ReadXcr0();
  const bool tiles = CpuFeaturesOf(words, xcr0, true).amx_tile && AskForTiles();
  return CpuFeaturesOf(words, xcr0, tiles);
}

std::string ReadSmallFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

CpuFeatures CpuFeaturesOf(const CpuidWords& words, uint64_t xcr0, bool tiles_granted) {
  CpuFeatures f;
  if (!Bit(words.leaf1_ecx, kOsxsave)) return f;
  const bool ymm = (xcr0 & 0x6) == 0x6;
  const bool zmm = ymm && (xcr0 & 0xe0) == 0xe0;
  const bool tiles = (xcr0 & 0x60000) == 0x60000;  // XTILECFG and XTILEDATA
  const uint32_t ebx = words.leaf7_ebx;
  const uint32_t edx = words.leaf7_edx;
  f.avx2 = ymm && Bit(ebx, 5) && Bit(words.leaf1_ecx, 12) && Bit(words.leaf1_ecx, 29);
  f.avx512 = f.avx2 && zmm && Bit(ebx, 16) && Bit(ebx, 17) && Bit(ebx, 30) && Bit(ebx, 31) &&
             Bit(ebx, 28);
  f.avx512_vnni = f.avx512 && Bit(words.leaf7_ecx, 11);
  f.avx512_bf16 = f.avx512 && Bit(words.leaf7_1_eax, 5);
  f.avx512_fp16 = f.avx512 && Bit(edx, 23);
  f.amx_tile = f.avx512 && tiles && tiles_granted && Bit(edx, 24);
  f.amx_bf16 = f.amx_tile && Bit(edx, 22);
  f.amx_int8 = f.amx_tile && Bit(edx, 25);
  return f;
}

const CpuFeatures& UsableCpuFeatures() {
  static const CpuFeatures features = DetectUsable();
  return features;
}

const CpuFeatures& AdvertisedCpuFeatures() {
  static const CpuFeatures features = [] {
    CpuidWords words = ReadCpuid();
    words.leaf1_ecx |= 1U << kOsxsave;
    return CpuFeaturesOf(words, ~uint64_t{0}, true);
  }();
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
