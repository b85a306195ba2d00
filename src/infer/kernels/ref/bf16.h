// The arithmetic of bf16 tiles one number at a time (tiles.h). Private to ref/tiles*.cc.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/tiles.h"
#include "tensor/dtype.h"

namespace pelton::kernels::ref {

inline float FlushDenormal(float v) {
  return std::fabs(v) < 0x1p-126F ? std::copysign(0.F, v) : v;
}
// Rounded as vcvtneps2bf16 does: denormals are zero before and after.
inline uint16_t RoundToBf16(float v) { return tensor::BF16FromF32(FlushDenormal(v)); }

inline float TileFma(float a, float b, float c) { return FlushDenormal(std::fma(a, b, c)); }
inline float TileSum(float a, float b) { return FlushDenormal(a + b); }
inline float Operand(uint16_t bits) { return FlushDenormal(tensor::F32FromBF16(bits)); }

// acc + one tile step: products of x(i) and w(i), bf16, i = 0 … 31.
template <typename X, typename W>
float TileStep(float acc, X&& x, W&& w) {
  float chain[2] = {0, 0};
  for (int i = 0; i < kTileInputs; ++i) chain[i % 2] = TileFma(Operand(x(i)), Operand(w(i)), chain[i % 2]);
  return TileSum(acc, TileSum(chain[0], chain[1]));
}

}  // namespace pelton::kernels::ref
