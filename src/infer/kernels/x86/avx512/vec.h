// 16 lanes in one register: what the shared bodies (x86/body_*.inc) are written with.
//
// Each function carries its target itself (not a compiler flag): nothing else in the program, no
// std:: function and no start-up code, may contain these instructions.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/numbers.h"

#define PELTON_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c")))
#define PELTON_TILE PELTON_TARGET static
#define PELTON_VEC PELTON_TARGET __attribute__((always_inline)) inline

namespace pelton::kernels::avx512 {

using F = __m512;    // 16 floats
using I = __m512i;   // 16 int32, or 32 int16
using D = __m512d;   // 8 doubles

inline constexpr int kTileRows = 8;      // rows of an integer tile: 8 + 8 sums and a code
inline constexpr int kUnpackedRows = 8;  // rows of a tile over unpacked codes
inline constexpr int kTileQueries = 6;   // queries of an attention tile: 6 · 4 sums
inline constexpr int kWideQueries = 6;
inline constexpr int kTileVectors = 4;   // registers of 16 that a query's tile is wide
inline constexpr int kFloatRows = 4;     // float products: 4 rows · 4 panels
inline constexpr int kFloatPanels = 4;

PELTON_VEC __mmask16 First(int count) { return static_cast<__mmask16>((1U << count) - 1U); }

PELTON_VEC void Prefetch(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T0); }
PELTON_VEC void PrefetchFar(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T1); }
PELTON_VEC F Zero() { return _mm512_setzero_ps(); }
PELTON_VEC F Set(float v) { return _mm512_set1_ps(v); }
PELTON_VEC F Load(const float* p) { return _mm512_loadu_ps(p); }
PELTON_VEC F LoadFirst(const float* p, int count) { return _mm512_maskz_loadu_ps(First(count), p); }
PELTON_VEC void Store(float* p, F v) { _mm512_storeu_ps(p, v); }
PELTON_VEC void StoreFirst(float* p, F v, int count) { _mm512_mask_storeu_ps(p, First(count), v); }
PELTON_VEC F LoadHalf(const std::byte* p) {  // 16 fp16
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
PELTON_VEC F LoadHalfFirst(const std::byte* p, int count) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(First(count), p));
}
PELTON_VEC F LoadBf16(const std::byte* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
PELTON_VEC void StoreHalfFirst(std::byte* p, F v, int count) {
  const __m256i half = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_mask_storeu_epi16(p, First(count), half);
}
PELTON_VEC F Add(F a, F b) { return _mm512_add_ps(a, b); }
PELTON_VEC F Sub(F a, F b) { return _mm512_sub_ps(a, b); }
PELTON_VEC F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
PELTON_VEC F Div(F a, F b) { return _mm512_div_ps(a, b); }
PELTON_VEC F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
PELTON_VEC F MulSub(F a, F b, F c) { return _mm512_fmsub_ps(a, b, c); }      // a·b - c
PELTON_VEC F NegMulAdd(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a·b
// The larger; the second when one is NaN.
PELTON_VEC F Max(F a, F b) { return _mm512_max_ps(a, b); }
PELTON_VEC F Min(F a, F b) { return _mm512_min_ps(a, b); }
PELTON_VEC F ZeroWhereNan(F v) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
}
PELTON_VEC float FirstLane(F v) { return _mm512_cvtss_f32(v); }
PELTON_VEC F KeepFirst(F v, int count) { return _mm512_maskz_mov_ps(First(count), v); }
PELTON_VEC F ZeroWhereLess(F value, F x, F bound) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), value);
}
// v · 2^n; also given kRoundMagic + n.
PELTON_VEC F MulPowerOfTwo(F v, F, F n) { return _mm512_scalef_ps(v, n); }
// `v` where first ≤ base + lane ≤ last, -infinity elsewhere.
PELTON_VEC F MaskPositions(F v, int base, int first, int last) {
  const I lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const I at = _mm512_add_epi32(lanes, _mm512_set1_epi32(base));
  const __mmask16 in = _mm512_cmpge_epi32_mask(at, _mm512_set1_epi32(first)) &
                       _mm512_cmple_epi32_mask(at, _mm512_set1_epi32(last));
  return _mm512_mask_mov_ps(_mm512_set1_ps(-__builtin_inff()), in, v);
}

PELTON_VEC float Fold(F v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
PELTON_VEC float Largest(F v) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
// Bit i: lane i equals bound.
PELTON_VEC uint32_t EqualBits(F v, F bound) { return _mm512_cmp_ps_mask(v, bound, _CMP_EQ_OQ); }

struct D16 {  // 16 double lanes
  D low, high;
};
PELTON_VEC D16 ZeroD() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
PELTON_VEC D16 AddWidened(D16 sum, F v) {
  return {_mm512_add_pd(sum.low, _mm512_cvtps_pd(_mm512_castps512_ps256(v))),
          _mm512_add_pd(sum.high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)))};
}
PELTON_VEC double FoldD(D16 v) {
  const D eight = _mm512_add_pd(v.low, v.high);
  const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

// Swaps the two floats of each pair; the even (odd) lanes of a twice.
PELTON_VEC F SwapPairs(F v) { return _mm512_permute_ps(v, 0xb1); }
// [c0 c0 c1 c1 … c7 c7] from 8 floats at p, of which `count` exist.
PELTON_VEC F LoadDoubled(const float* p, int count) {
  const F low = _mm512_maskz_loadu_ps(First(count), p);
  const I index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return _mm512_permutexvar_ps(index, low);
}
PELTON_VEC F MulAddSub(F a, F b, F c) { return _mm512_fmaddsub_ps(a, b, c); }  // even -, odd +

PELTON_VEC I ZeroI() { return _mm512_setzero_si512(); }
PELTON_VEC I SetI(int32_t v) { return _mm512_set1_epi32(v); }
PELTON_VEC I LoadI(const std::byte* p) { return _mm512_loadu_si512(p); }
PELTON_VEC void StoreI(std::byte* p, I v) { _mm512_storeu_si512(p, v); }
PELTON_VEC I BroadcastI(const void* p) {  // 4 bytes at p in every lane
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return _mm512_set1_epi32(v);
}
PELTON_VEC I AndI(I a, I b) { return _mm512_and_si512(a, b); }
PELTON_VEC I OrI(I a, I b) { return _mm512_or_si512(a, b); }
template <int kBits>
PELTON_VEC I ShiftRight16(I a) { return _mm512_srli_epi16(a, kBits); }
template <int kBits>
PELTON_VEC I ShiftLeft16(I a) { return _mm512_slli_epi16(a, kBits); }
// Σ of the two products of int16 pairs, added to the sum.
// The empty statement keeps the sum in its register, see avx2/vec.h.
PELTON_VEC I MulAddPairs(I sum, I a, I b) {
  I next = _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
  asm("" : "+v"(next));
  return next;
}
PELTON_VEC I SubI(I a, I b) { return _mm512_sub_epi32(a, b); }
PELTON_VEC F ToFloat(I v) { return _mm512_cvtepi32_ps(v); }
PELTON_VEC I RoundToInt(F v) { return _mm512_cvtps_epi32(v); }
PELTON_VEC int32_t SumOf(I v) { return _mm512_reduce_add_epi32(v); }
// Largest |lane| by bits, so that infinities and NaN win.
PELTON_VEC uint32_t LargestMagnitude(F a, F b) {
  const I mask = _mm512_set1_epi32(0x7fffffff);
  return static_cast<uint32_t>(_mm512_reduce_max_epi32(
      _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(a), mask),
                       _mm512_and_si512(_mm512_castps_si512(b), mask))));
}
// 16 values that fit 16 bits, the two inner ones of each four exchanged.
PELTON_VEC void StoreQuads(int16_t* p, I v) {
  const __m256i packed = _mm512_cvtepi32_epi16(v);
  const __m256i quads = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(packed, 0xd8), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), quads);
}

}  // namespace pelton::kernels::avx512
