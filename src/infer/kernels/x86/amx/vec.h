// What unpacking to bf16 tiles needs beside the vocabulary of avx512/vec.h. Every CPU with tiles has
// AVX512-FP16.
#pragma once

#include "kernels/x86/avx512/vec.h"

#undef PELTON_TARGET
#define PELTON_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512bf16,avx512fp16,avx2,fma,f16c")))

namespace pelton::kernels::amx {

using namespace avx512;  // NOLINT: the vector vocabulary

// Two lines.
PELTON_VEC void PrefetchToWrite(float* p) {
  __builtin_prefetch(p, 1, 3);
  __builtin_prefetch(p + 16, 1, 3);
}

using H = __m512h;  // 32 fp16

// 16 fp16 at p, each twice; those that are no finite numbers as zero.
PELTON_VEC H LoadHalfPairs(const std::byte* p) {
  const I index = _mm512_set_epi16(15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 9, 9, 8, 8, 7, 7,
                                   6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const __m256i half = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  const I pairs = _mm512_permutexvar_epi16(index, _mm512_castsi256_si512(half));
  const __mmask32 finite = ~_mm512_fpclass_ph_mask(_mm512_castsi512_ph(pairs), 0x99);
  return _mm512_castsi512_ph(_mm512_maskz_mov_epi16(finite, pairs));
}
// v in all lanes.
PELTON_VEC H SetHalf(float v) { return _mm512_set1_ph(static_cast<_Float16>(v)); }
PELTON_VEC H MulHalf(H a, H b) { return _mm512_mul_ph(a, b); }
PELTON_VEC H FmaHalf(H a, H b, H c) { return _mm512_fmadd_ph(a, b, c); }
// Entry index mod 32 of 32 fp16, for each of 32 words.
PELTON_VEC H LookUpHalf(I table, I index) {
  return _mm512_castsi512_ph(_mm512_permutexvar_epi16(index, table));
}
PELTON_VEC H WordsToHalf(I words) { return _mm512_cvtepu16_ph(words); }
// bf16 of w · 2^-112: sign, exponent and seven bits of the fraction where bf16 has them, rounded to
// nearest, ties away from zero. (w · 2^12 + 2^14) >> 15 of the bits as an integer is the shift by 3.
PELTON_VEC I Bf16OfHalf(H w) {
  const I shifted = _mm512_mulhrs_epi16(_mm512_castph_si512(w), _mm512_set1_epi16(1 << 12));
  return _mm512_and_si512(shifted, _mm512_set1_epi16(static_cast<int16_t>(0x8fff)));
}
PELTON_VEC I ShiftLeft8(I v) { return _mm512_slli_epi32(v, 8); }
PELTON_VEC I AddI(I a, I b) { return _mm512_add_epi32(a, b); }
// 32 bf16, nearest even: the lanes of `low`, then those of `high`.
PELTON_VEC I PackBf16(F low, F high) { return (I)_mm512_cvtne2ps_pbh(high, low); }
// 16 bf16, nearest even, the two inner ones of each four exchanged: half a step of activations.
PELTON_VEC void StoreHalfStep(std::byte* p, F v) {
  const __m256i words = (__m256i)_mm512_cvtneps_pbh(v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, 0xd8), 0xd8));
}
// The two inner ones of each four words exchanged.
PELTON_VEC I SwapInnerWords(I v) {
  return _mm512_shufflehi_epi16(_mm512_shufflelo_epi16(v, 0xd8), 0xd8);
}
// Words a0 b0 a1 b1 … a15 b15; and the same of words 16 … 31.
PELTON_VEC I InterleaveLow(I a, I b) {
  const I index = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8,
                                   39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  return _mm512_permutex2var_epi16(a, index, b);
}
PELTON_VEC I InterleaveHigh(I a, I b) {
  const I index = _mm512_set_epi16(63, 31, 62, 30, 61, 29, 60, 28, 59, 27, 58, 26, 57, 25, 56, 24,
                                   55, 23, 54, 22, 53, 21, 52, 20, 51, 19, 50, 18, 49, 17, 48, 16);
  return _mm512_permutex2var_epi16(a, index, b);
}

}  // namespace pelton::kernels::amx
