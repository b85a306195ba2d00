// Small transpositions for packing, in registers where the machine has SSE2 (every x86-64 does).
// Private to pack.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace pelton::kernels {

// [16 rows][4 words], rows `stride` bytes apart → [4][16 words], 64 bytes each.
inline void TransposeWords(const std::byte* in, size_t stride, std::byte* out) {
#if defined(__SSE2__)
  for (size_t r = 0; r < 16; r += 4) {
    const auto load = [&](size_t i) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + (r + i) * stride));
    };
    const __m128i a = load(0), b = load(1), c = load(2), d = load(3);
    const __m128i ab0 = _mm_unpacklo_epi32(a, b), ab1 = _mm_unpackhi_epi32(a, b);
    const __m128i cd0 = _mm_unpacklo_epi32(c, d), cd1 = _mm_unpackhi_epi32(c, d);
    const auto store = [&](size_t word, __m128i v) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + word * 64 + r * 4), v);
    };
    store(0, _mm_unpacklo_epi64(ab0, cd0));
    store(1, _mm_unpackhi_epi64(ab0, cd0));
    store(2, _mm_unpacklo_epi64(ab1, cd1));
    store(3, _mm_unpackhi_epi64(ab1, cd1));
  }
#else
  for (size_t r = 0; r < 16; ++r) {
    for (size_t word = 0; word < 4; ++word) {
      std::memcpy(out + word * 64 + r * 4, in + r * stride + word * 4, 4);
    }
  }
#endif
}

// [16 rows][8 halves], rows `stride` bytes apart → [8][16 halves], 32 bytes each.
inline void TransposeHalves(const std::byte* in, size_t stride, std::byte* out) {
#if defined(__SSE2__)
  for (size_t r = 0; r < 16; r += 8) {
    __m128i v[8], w[8];
    for (size_t i = 0; i < 8; ++i) {
      v[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + (r + i) * stride));
    }
    for (size_t i = 0; i < 4; ++i) {  // pairs of rows
      w[2 * i] = _mm_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
      w[2 * i + 1] = _mm_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
    }
    for (size_t i = 0; i < 2; ++i) {  // fours
      v[4 * i] = _mm_unpacklo_epi32(w[4 * i], w[4 * i + 2]);
      v[4 * i + 1] = _mm_unpackhi_epi32(w[4 * i], w[4 * i + 2]);
      v[4 * i + 2] = _mm_unpacklo_epi32(w[4 * i + 1], w[4 * i + 3]);
      v[4 * i + 3] = _mm_unpackhi_epi32(w[4 * i + 1], w[4 * i + 3]);
    }
    for (size_t i = 0; i < 4; ++i) {
      const auto store = [&](size_t half, __m128i x) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + half * 32 + r * 2), x);
      };
      store(2 * i, _mm_unpacklo_epi64(v[i], v[i + 4]));
      store(2 * i + 1, _mm_unpackhi_epi64(v[i], v[i + 4]));
    }
  }
#else
  for (size_t r = 0; r < 16; ++r) {
    for (size_t half = 0; half < 8; ++half) {
      std::memcpy(out + half * 32 + r * 2, in + r * stride + half * 2, 2);
    }
  }
#endif
}

// low | high << 4 of 16 bytes; both below 16.
inline void JoinNibbles(const uint8_t* low, const uint8_t* high, uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>(low[i] | high[i] << 4);
}

}  // namespace pelton::kernels
