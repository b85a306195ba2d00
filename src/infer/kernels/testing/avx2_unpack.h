// The vocabulary of x86/amx/vec.h on AVX2, for emulated tables. FOR TESTS ONLY: the table "amx" needs
// a CPU with AVX-512.
#pragma once

#include "kernels/x86/avx2/vec.h"

namespace pelton::kernels::avx2 {

PELTON_VEC void PrefetchToWrite(float* p) { __builtin_prefetch(p, 1, 3); }

// 32 fp16 in memory: what AVX512-FP16 does in one instruction is done in fp32, eight at a time. A
// product of two fp16 is exact there; a sum is rounded to odd first, so that it rounds once.
struct H {
  alignas(64) uint16_t bits[32];
};

PELTON_VEC __m256 Widened(const H& h, size_t i) {
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(h.bits + i)));
}
PELTON_VEC void Narrow(__m256 v, H& h, size_t i) {
  _mm_store_si128(reinterpret_cast<__m128i*>(h.bits + i), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
// a + c; where that is inexact, of the two floats beside it the one whose last bit is set.
PELTON_VEC __m256 SumToOdd(__m256 a, __m256 c) {
  const __m256 sum = _mm256_add_ps(a, c);
  const __m256 part = _mm256_sub_ps(sum, a);
  const __m256 error = _mm256_add_ps(_mm256_sub_ps(a, _mm256_sub_ps(sum, part)), _mm256_sub_ps(c, part));
  const __m256i bits = _mm256_castps_si256(sum);
  const __m256i one = _mm256_set1_epi32(1);
  const __m256i away = _mm256_srai_epi32(_mm256_xor_si256(bits, _mm256_castps_si256(error)), 31);
  const __m256i even = _mm256_cmpeq_epi32(_mm256_and_si256(bits, one), _mm256_setzero_si256());
  const __m256i inexact =
      _mm256_castps_si256(_mm256_cmp_ps(error, _mm256_setzero_ps(), _CMP_NEQ_OQ));
  const __m256i step = _mm256_and_si256(_mm256_or_si256(away, one), _mm256_and_si256(even, inexact));
  return _mm256_castsi256_ps(_mm256_add_epi32(bits, step));
}
PELTON_VEC H LoadHalfPairs(const std::byte* p) {
  H out;
  for (size_t i = 0; i < 32; ++i) {
    __builtin_memcpy(&out.bits[i], p + i / 2 * 2, 2);
    if ((out.bits[i] & 0x7c00) == 0x7c00) out.bits[i] = 0;
  }
  return out;
}
PELTON_VEC H SetHalf(float v) {
  H out;
  for (size_t i = 0; i < 32; i += 8) Narrow(_mm256_set1_ps(v), out, i);
  return out;
}
PELTON_VEC H MulHalf(const H& a, const H& b) {
  H out;
  for (size_t i = 0; i < 32; i += 8) Narrow(_mm256_mul_ps(Widened(a, i), Widened(b, i)), out, i);
  return out;
}
PELTON_VEC H FmaHalf(const H& a, const H& b, const H& c) {
  H out;
  for (size_t i = 0; i < 32; i += 8) {
    Narrow(SumToOdd(_mm256_mul_ps(Widened(a, i), Widened(b, i)), Widened(c, i)), out, i);
  }
  return out;
}
PELTON_VEC H WordsOf(I v) {
  H out;
  StoreI(reinterpret_cast<std::byte*>(out.bits), v);
  return out;
}
PELTON_VEC H LookUpHalf(I table, I index) {
  const H entries = WordsOf(table);
  H out = WordsOf(index);
  for (uint16_t& bits : out.bits) bits = entries.bits[bits % 32];
  return out;
}
PELTON_VEC H WordsToHalf(I words) {
  const H in = WordsOf(words);
  H out;
  for (size_t i = 0; i < 32; i += 8) {
    const __m128i eight = _mm_load_si128(reinterpret_cast<const __m128i*>(in.bits + i));
    Narrow(_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(eight)), out, i);
  }
  return out;
}
PELTON_VEC __m256i Bf16Of(__m256i half) {
  return _mm256_and_si256(_mm256_mulhrs_epi16(half, _mm256_set1_epi16(1 << 12)),
                          _mm256_set1_epi16(static_cast<int16_t>(0x8fff)));
}
PELTON_VEC I Bf16OfHalf(const H& w) {
  const I words = LoadI(reinterpret_cast<const std::byte*>(w.bits));
  return {Bf16Of(words.a), Bf16Of(words.b)};
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
PELTON_VEC I SwapInnerWords(I v) {
  return {_mm256_shufflehi_epi16(_mm256_shufflelo_epi16(v.a, 0xd8), 0xd8),
          _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(v.b, 0xd8), 0xd8)};
}
PELTON_VEC void StoreHalfStep(std::byte* p, F v) {
  const __m256i words = PackEight(v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, 0xd8), 0xd8));
}
PELTON_VEC I Interleave16(__m256i a, __m256i b) {
  const __m256i low = _mm256_unpacklo_epi16(a, b);
  const __m256i high = _mm256_unpackhi_epi16(a, b);
  return {_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)};
}
PELTON_VEC I InterleaveLow(I a, I b) { return Interleave16(a.a, b.a); }
PELTON_VEC I InterleaveHigh(I a, I b) { return Interleave16(a.b, b.b); }

}  // namespace pelton::kernels::avx2
