// The vocabulary of x86/amx/vec.h on AVX2, for emulated tables. FOR TESTS ONLY: the table "amx" needs
// a CPU with AVX-512.
#pragma once

#include "kernels/x86/avx2/vec.h"

namespace pelton::kernels::avx2 {

PELTON_VEC I Doubled8(__m256i v) {
  return {_mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}
PELTON_VEC I DoubledLow(I v) { return Doubled8(v.a); }
PELTON_VEC I DoubledHigh(I v) { return Doubled8(v.b); }
PELTON_VEC F AsFloats(I v) { return {_mm256_castsi256_ps(v.a), _mm256_castsi256_ps(v.b)}; }
PELTON_VEC F DoubledLow(F v) { return AsFloats(Doubled8(_mm256_castps_si256(v.a))); }
PELTON_VEC F DoubledHigh(F v) { return AsFloats(Doubled8(_mm256_castps_si256(v.b))); }
PELTON_VEC F SetPairs(float even, float odd) {
  const __m256 v = _mm256_setr_ps(even, odd, even, odd, even, odd, even, odd);
  return {v, v};
}
PELTON_VEC I SetPairsI(int32_t even, int32_t odd) {
  const __m256i v = _mm256_setr_epi32(even, odd, even, odd, even, odd, even, odd);
  return {v, v};
}
template <int kBits>
PELTON_VEC I ShiftRight32(I v) {
  return {_mm256_srli_epi32(v.a, kBits), _mm256_srli_epi32(v.b, kBits)};
}
PELTON_VEC I ShiftLeft8(I v) { return {_mm256_slli_epi32(v.a, 8), _mm256_slli_epi32(v.b, 8)}; }
PELTON_VEC I AddI(I x, I y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
// bf16 in the low half of each lane, as vcvtne2ps2bf16 rounds: nearest even, denormals to zero, NaN
// stays NaN.
PELTON_VEC __m256i RoundedBf16(__m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i denormal = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude);
  const __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
  const __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(bits, 31), 15);
  const __m256i small = _mm256_blendv_epi8(rounded, sign, denormal);
  return _mm256_blendv_epi8(small, _mm256_set1_epi32(0x7fc0), nan);
}
PELTON_VEC __m256i PackEight(F v) {  // 16 bf16
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(RoundedBf16(v.a), RoundedBf16(v.b)), 0xd8);
}
PELTON_VEC I PackBf16(F low, F high) { return {PackEight(low), PackEight(high)}; }
PELTON_VEC I InterleaveHalves(I v) {
  const __m256i low = _mm256_unpacklo_epi16(v.a, v.b);
  const __m256i high = _mm256_unpackhi_epi16(v.a, v.b);
  return {_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)};
}

}  // namespace pelton::kernels::avx2
