// 16 lanes in two registers: what the shared bodies (x86/body_*.inc) are written with. Lanes 0…7 are
// `a`, 8…15 are `b`. Each function carries its target itself; see avx512/vec.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/numbers.h"

#define PELTON_TARGET __attribute__((target("avx2,fma,f16c")))
#define PELTON_TILE PELTON_TARGET static
#define PELTON_VEC PELTON_TARGET __attribute__((always_inline)) inline

namespace pelton::kernels::avx2 {

struct F {
  __m256 a, b;
};
struct I {
  __m256i a, b;
};

inline constexpr int kTileRows = 2;     // 2 · 2 integer and 2 · 2 float sums, 2 + 2 codes
inline constexpr int kUnpackedRows = 4;  // rows of a tile over unpacked codes: 4 · 2 sums, 2 codes
inline constexpr int kTileQueries = 6;  // up to 3 queries · 2 vectors, or 6 · 1: 12 of 16 registers
inline constexpr int kWideQueries = 3;
inline constexpr int kTileVectors = 2;
inline constexpr int kFloatRows = 2;
inline constexpr int kFloatPanels = 2;

// All ones in the first `count` of 16 lanes.
PELTON_VEC I First(int count) {
  const __m256i n = _mm256_set1_epi32(count);
  return {_mm256_cmpgt_epi32(n, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(n, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}

PELTON_VEC void Prefetch(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T0); }
PELTON_VEC void PrefetchFar(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T1); }
PELTON_VEC F Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
PELTON_VEC F Set(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
PELTON_VEC F Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
PELTON_VEC F LoadFirst(const float* p, int count) {
  const I m = First(count);
  return {_mm256_maskload_ps(p, m.a), _mm256_maskload_ps(p + 8, m.b)};
}
PELTON_VEC void Store(float* p, F v) {
  _mm256_storeu_ps(p, v.a);
  _mm256_storeu_ps(p + 8, v.b);
}
PELTON_VEC void StoreFirst(float* p, F v, int count) {
  const I m = First(count);
  _mm256_maskstore_ps(p, m.a, v.a);
  _mm256_maskstore_ps(p + 8, m.b, v.b);
}
PELTON_VEC F LoadHalf(const std::byte* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)))};
}
PELTON_VEC F LoadHalfFirst(const std::byte* p, int count) {
  alignas(32) std::byte whole[32] = {};
  __builtin_memcpy(whole, p, static_cast<size_t>(count) * 2);
  return LoadHalf(whole);
}
PELTON_VEC F LoadBf16(const std::byte* p) {
  const __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i high =
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
}
PELTON_VEC void StoreHalfFirst(std::byte* p, F v, int count) {
  alignas(32) std::byte whole[32];
  _mm_store_si128(reinterpret_cast<__m128i*>(whole), _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT));
  _mm_store_si128(reinterpret_cast<__m128i*>(whole + 16),
                  _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
  __builtin_memcpy(p, whole, static_cast<size_t>(count) * 2);
}
PELTON_VEC F Add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
PELTON_VEC F Sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
PELTON_VEC F Mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
PELTON_VEC F Div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
PELTON_VEC F Fma(F x, F y, F z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
PELTON_VEC F MulSub(F x, F y, F z) {
  return {_mm256_fmsub_ps(x.a, y.a, z.a), _mm256_fmsub_ps(x.b, y.b, z.b)};
}
PELTON_VEC F NegMulAdd(F x, F y, F z) {
  return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
PELTON_VEC F Max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
PELTON_VEC F Min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
PELTON_VEC F ZeroWhereNan(F v) {
  return {_mm256_and_ps(v.a, _mm256_cmp_ps(v.a, v.a, _CMP_ORD_Q)),
          _mm256_and_ps(v.b, _mm256_cmp_ps(v.b, v.b, _CMP_ORD_Q))};
}
PELTON_VEC float FirstLane(F v) { return _mm256_cvtss_f32(v.a); }
PELTON_VEC F KeepFirst(F v, int count) {
  const I m = First(count);
  return {_mm256_and_ps(v.a, _mm256_castsi256_ps(m.a)), _mm256_and_ps(v.b, _mm256_castsi256_ps(m.b))};
}
PELTON_VEC F ZeroWhereLess(F value, F x, F bound) {
  return {_mm256_and_ps(value.a, _mm256_cmp_ps(x.a, bound.a, _CMP_NLT_UQ)),
          _mm256_and_ps(value.b, _mm256_cmp_ps(x.b, bound.b, _CMP_NLT_UQ))};
}
PELTON_VEC __m256 PowerOfTwo(__m256 shifted) {
  const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
PELTON_VEC F MulPowerOfTwo(F v, F shifted, F) {
  return {_mm256_mul_ps(v.a, PowerOfTwo(shifted.a)), _mm256_mul_ps(v.b, PowerOfTwo(shifted.b))};
}
PELTON_VEC __m256 MaskEight(__m256 v, __m256i at, int first, int last) {
  const __m256i out = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), at),
                                      _mm256_cmpgt_epi32(at, _mm256_set1_epi32(last)));
  return _mm256_blendv_ps(v, _mm256_set1_ps(-__builtin_inff()), _mm256_castsi256_ps(out));
}
PELTON_VEC F MaskPositions(F v, int base, int first, int last) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {MaskEight(v.a, _mm256_add_epi32(lanes, _mm256_set1_epi32(base)), first, last),
          MaskEight(v.b, _mm256_add_epi32(lanes, _mm256_set1_epi32(base + 8)), first, last)};
}

PELTON_VEC float Fold(F v) {
  const __m256 eight = _mm256_add_ps(v.a, v.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
PELTON_VEC float Largest(F v) {
  const __m256 eight = _mm256_max_ps(v.a, v.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
PELTON_VEC uint32_t EqualBits(F v, F bound) {
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(v.a, bound.a, _CMP_EQ_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(v.b, bound.b, _CMP_EQ_OQ));
  return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 8;
}

struct D16 {  // lanes 0…3, 4…7, 8…11, 12…15
  __m256d v[4];
};
PELTON_VEC D16 ZeroD() {
  const __m256d zero = _mm256_setzero_pd();
  return {{zero, zero, zero, zero}};
}
PELTON_VEC D16 AddWidened(D16 sum, F v) {
  return {{_mm256_add_pd(sum.v[0], _mm256_cvtps_pd(_mm256_castps256_ps128(v.a))),
           _mm256_add_pd(sum.v[1], _mm256_cvtps_pd(_mm256_extractf128_ps(v.a, 1))),
           _mm256_add_pd(sum.v[2], _mm256_cvtps_pd(_mm256_castps256_ps128(v.b))),
           _mm256_add_pd(sum.v[3], _mm256_cvtps_pd(_mm256_extractf128_ps(v.b, 1)))}};
}
PELTON_VEC double FoldD(D16 s) {
  const __m256d four = _mm256_add_pd(_mm256_add_pd(s.v[0], s.v[2]), _mm256_add_pd(s.v[1], s.v[3]));
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

PELTON_VEC F SwapPairs(F v) { return {_mm256_permute_ps(v.a, 0xb1), _mm256_permute_ps(v.b, 0xb1)}; }
PELTON_VEC F LoadDoubled(const float* p, int count) {
  const __m256 eight = LoadFirst(p, count).a;
  return {_mm256_permutevar8x32_ps(eight, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_ps(eight, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}
PELTON_VEC F MulAddSub(F x, F y, F z) {
  return {_mm256_fmaddsub_ps(x.a, y.a, z.a), _mm256_fmaddsub_ps(x.b, y.b, z.b)};
}

PELTON_VEC I ZeroI() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
PELTON_VEC I SetI(int32_t v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
PELTON_VEC I LoadI(const std::byte* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
PELTON_VEC void StoreI(std::byte* p, I v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), v.b);
}
PELTON_VEC I BroadcastI(const void* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return SetI(v);
}
PELTON_VEC I AndI(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
PELTON_VEC I OrI(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
template <int kBits>
PELTON_VEC I ShiftLeft16(I x) {
  return {_mm256_slli_epi16(x.a, kBits), _mm256_slli_epi16(x.b, kBits)};
}
template <int kBits>
PELTON_VEC I ShiftRight16(I x) {
  return {_mm256_srli_epi16(x.a, kBits), _mm256_srli_epi16(x.b, kBits)};
}
// The empty statement keeps the sum in its registers: g++ 12 would turn the chain of additions into a
// tree and spill every product.
PELTON_VEC I MulAddPairs(I sum, I x, I y) {
  I next = {_mm256_add_epi32(sum.a, _mm256_madd_epi16(x.a, y.a)),
            _mm256_add_epi32(sum.b, _mm256_madd_epi16(x.b, y.b))};
  asm("" : "+x"(next.a), "+x"(next.b));
  return next;
}
PELTON_VEC I SubI(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
PELTON_VEC F ToFloat(I v) { return {_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)}; }
PELTON_VEC I RoundToInt(F v) { return {_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)}; }
PELTON_VEC int32_t SumOf(I v) {
  const __m256i eight = _mm256_add_epi32(v.a, v.b);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return _mm_cvtsi128_si32(four);
}
PELTON_VEC uint32_t LargestMagnitude(F x, F y) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  const __m256i p = _mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(x.a), mask),
                                     _mm256_and_si256(_mm256_castps_si256(x.b), mask));
  const __m256i q = _mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(y.a), mask),
                                     _mm256_and_si256(_mm256_castps_si256(y.b), mask));
  const __m256i eight = _mm256_max_epi32(p, q);
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(four));
}
// 16 values that fit 16 bits, the two inner ones of each four exchanged.
PELTON_VEC void StoreQuads(int16_t* p, I v) {
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(v.a, v.b), 0xd8);
  const __m256i quads = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(packed, 0xd8), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), quads);
}

}  // namespace pelton::kernels::avx2
