// What the machine lets this process use: instruction sets usable (not merely advertised) and CPUs
// by affinity; its limits of time and memory are in machine_limits.h. All functions are thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/machine_limits.h"

namespace pelton {

// True only when CPUID advertises the set, the OS saves its registers (XCR0), and for AMX the
// kernel granted the tile permission (arch_prctl ARCH_REQ_XCOMP_PERM).
struct CpuFeatures {
  bool avx2 = false;         // with FMA and F16C
  bool avx512 = false;       // F, BW, DQ, VL, CD
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool avx512_fp16 = false;
  bool amx_tile = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;
};

// Read once, then constant. Asks the kernel for AMX permission on first use.
const CpuFeatures& UsableCpuFeatures();
// What CPUID alone says, for showing what a machine has and does not let us use.
const CpuFeatures& AdvertisedCpuFeatures();

// What both are made of; apart, so that machines other than this one can be tested.
struct CpuidWords {
  uint32_t leaf1_ecx = 0, leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0, leaf7_1_eax = 0;
};
CpuFeatures CpuFeaturesOf(const CpuidWords& words, uint64_t xcr0, bool tiles_granted);
std::string CpuModelName();

std::vector<int> AffinityCpus();            // ids of the CPUs this process may run on
// Threads that compute: min(affinity, floor(quota)), at least 1. Re-reads the machine each call.
int ComputeThreadBudget();

}  // namespace pelton
