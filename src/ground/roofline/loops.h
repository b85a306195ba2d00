// The loops that are timed. Each may run only where its instruction set is usable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/cpu.h"

namespace pelton::roofline {

inline constexpr size_t kReadStep = 512;  // bytes; sizes are multiples of it

// Reads every byte of [data, data + bytes).
using ReadLoop = void (*)(const std::byte* data, size_t bytes);

struct MultiplyLoop {
  std::string_view name, what;
  bool (*usable)(const CpuFeatures&);
  void (*run)(int64_t turns);
  double ops_per_turn;
};

void ReadPortable(const std::byte* data, size_t bytes);
void MultiplyPortable(int64_t turns);
inline constexpr double kPortableOpsPerTurn = 16;

#ifdef PELTON_ROOFLINE_X86
ReadLoop BestReadX86(const CpuFeatures& features);  // null when none is usable
std::span<const MultiplyLoop> MultiplyLoopsX86();
#endif

}  // namespace pelton::roofline
