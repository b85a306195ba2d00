// The vocabulary of x86/amx/vec.h on AVX2, for emulated tables. FOR TESTS ONLY: the table "amx" needs
// a CPU with AVX-512.
#pragma once

#include <cmath>
#include <cstring>

#include "kernels/x86/avx2/vec.h"
#include "tensor/dtype.h"

namespace pelton::kernels::avx2 {

PELTON_VEC void Prefetch(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T0); }

PELTON_VEC void PrefetchToWrite(float* p) { __builtin_prefetch(p, 1, 3); }

// 32 fp16 in memory: what AVX512-FP16 does in one instruction is done number by number, in doubles.
struct H {
  alignas(64) uint16_t bits[32];
};

inline float Widened(uint16_t half) { return tensor::F32FromF16(half); }
// Rounded once: by way of a float whose last bit is set when anything was cut off.
inline uint16_t Narrowed(double v) {
  auto narrow = static_cast<float>(v);
  if (static_cast<double>(narrow) != v) {
    if (std::fabs(static_cast<double>(narrow)) > std::fabs(v)) narrow = std::nextafterf(narrow, 0.F);
    uint32_t bits = 0;
    std::memcpy(&bits, &narrow, 4);
    bits |= 1;
    std::memcpy(&narrow, &bits, 4);
  }
  return tensor::F16FromF32(narrow);
}
inline H LoadHalfPairs(const std::byte* p) {
  H out;
  for (size_t i = 0; i < 32; ++i) {
    std::memcpy(&out.bits[i], p + i / 2 * 2, 2);
    if ((out.bits[i] & 0x7c00) == 0x7c00) out.bits[i] = 0;
  }
  return out;
}
inline H SetHalf(float v) {
  H out;
  for (uint16_t& bits : out.bits) bits = tensor::F16FromF32(v);
  return out;
}
inline H MulHalf(const H& a, const H& b) {
  H out;
  for (size_t i = 0; i < 32; ++i) {
    out.bits[i] = Narrowed(static_cast<double>(Widened(a.bits[i])) * Widened(b.bits[i]));
  }
  return out;
}
inline H FmaHalf(const H& a, const H& b, const H& c) {
  H out;
  for (size_t i = 0; i < 32; ++i) {
    out.bits[i] = Narrowed(static_cast<double>(Widened(a.bits[i])) * Widened(b.bits[i]) +
                           static_cast<double>(Widened(c.bits[i])));
  }
  return out;
}
PELTON_VEC H WordsOf(I v) {
  H out;
  std::memcpy(&out, &v, sizeof out);
  return out;
}
PELTON_VEC H LookUpHalf(I table, I index) {
  const H entries = WordsOf(table);
  H out = WordsOf(index);
  for (uint16_t& bits : out.bits) bits = entries.bits[bits % 32];
  return out;
}
PELTON_VEC H WordsToHalf(I words) {
  H out = WordsOf(words);
  for (uint16_t& bits : out.bits) bits = tensor::F16FromF32(bits);
  return out;
}
PELTON_VEC I Bf16OfHalf(const H& w) {
  H out;
  for (size_t i = 0; i < 32; ++i) {
    const int shifted = (static_cast<int16_t>(w.bits[i]) * 4096 + 16384) >> 15;
    out.bits[i] = static_cast<uint16_t>(shifted & 0x8fff);
  }
  I v;
  std::memcpy(&v, &out, sizeof v);
  return v;
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
