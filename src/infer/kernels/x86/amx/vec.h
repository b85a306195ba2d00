// What unpacking to bf16 tiles needs beside the vocabulary of avx512/vec.h.
#pragma once

#include "kernels/x86/avx512/vec.h"

#undef PELTON_TARGET
#define PELTON_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512bf16,avx2,fma,f16c")))

namespace pelton::kernels::amx {

using namespace avx512;  // NOLINT: the vector vocabulary

// Lanes 0 … 7 (8 … 15), each twice.
PELTON_VEC I DoubledLow(I v) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), v);
}
PELTON_VEC I DoubledHigh(I v) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15), v);
}
PELTON_VEC F DoubledLow(F v) {
  return _mm512_castsi512_ps(DoubledLow(_mm512_castps_si512(v)));
}
PELTON_VEC F DoubledHigh(F v) {
  return _mm512_castsi512_ps(DoubledHigh(_mm512_castps_si512(v)));
}
PELTON_VEC F SetPairs(float even, float odd) {
  return _mm512_mask_blend_ps(0xaaaa, _mm512_set1_ps(even), _mm512_set1_ps(odd));
}
PELTON_VEC I SetPairsI(int32_t even, int32_t odd) {
  return _mm512_mask_blend_epi32(0xaaaa, _mm512_set1_epi32(even), _mm512_set1_epi32(odd));
}
template <int kBits>
PELTON_VEC I ShiftRight32(I v) {
  return _mm512_srli_epi32(v, kBits);
}
PELTON_VEC I ShiftLeft8(I v) { return _mm512_slli_epi32(v, 8); }
PELTON_VEC I AddI(I a, I b) { return _mm512_add_epi32(a, b); }
// 32 bf16, nearest even: the lanes of `low`, then those of `high`.
PELTON_VEC I PackBf16(F low, F high) { return (I)_mm512_cvtne2ps_pbh(high, low); }
// [a0 … a15 b0 … b15] of 16 bits → [a0 b0 a1 b1 … a15 b15].
PELTON_VEC I InterleaveHalves(I v) {
  const I index = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                   23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(index, v);
}

}  // namespace pelton::kernels::amx
