// Integer products on vpdpbusd: unsigned codes × two signed planes of the activations.
//
//             16 outputs of a panel, int32             codes of 32 inputs: 8 registers (quads)
//   row 0   [ Σ code·hi ] ·256 + [ Σ code·lo ]         activations: 4 bytes broadcast from memory
//   row 1   [ Σ code·hi ] ·256 + [ Σ code·lo ]         sums int32: 8 rows, sums fp32: 8 rows
//    …
// The chain of a row: 8 × dp(hi), shift left by 8, 8 × dp(lo): the planes combine at the cost of one
// shift. |Σ code·hi| · 256 + |Σ code·lo| ≤ 32 · 255 · 32768 < 2^29: no overflow.
//
// Roofline (Zen 4, one vpdpbusd of 64 multiplies a cycle and core): 16 cycles for 32 inputs × 16
// outputs × 1 row, 32 products of 16 × 8 bits a cycle. One row of 4-bit codes with minima needs 320
// bytes for that, so decoding could stream 20 bytes a cycle and is bound by memory; from 2 rows on
// the multipliers bind, and unpacking (12 operations a group) is shared by the rows of a tile.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/numbers.h"
#include "kernels/packed.h"
#include "kernels/x86/vnni/table.h"

#define PELTON_TARGET \
  __attribute__(      \
      (target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vnni,avx2,fma,f16c")))
#define PELTON_VEC PELTON_TARGET __attribute__((always_inline)) inline

namespace pelton::kernels::vnni {
namespace {

constexpr int kTileRows = 8;
// Rows whose activations stay in L2 (1 MiB and more on all that have VNNI) while panels pass.
constexpr size_t kRowBlockBytes = 384 * 1024;

PELTON_VEC __m512i Broadcast4(const int8_t* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return _mm512_set1_epi32(v);
}

// The 8 quads of 32 inputs as bytes.
template <Layout kLayout>
PELTON_VEC void LoadCodes(const std::byte* p, __m512i code[8]) {
  if constexpr (kLayout == Layout::kInt8) {
    for (int q = 0; q < 8; ++q) code[q] = _mm512_load_si512(p + q * 64);
    return;
  }
  const __m512i nibble = _mm512_set1_epi8(15);
  for (int q = 0; q < 4; ++q) {
    const __m512i raw = _mm512_load_si512(p + q * 64);
    code[q] = _mm512_and_si512(raw, nibble);
    code[q + 4] = _mm512_and_si512(_mm512_srli_epi16(raw, 4), nibble);
  }
  if constexpr (kLayout == Layout::kInt6) {
    const __m512i bits = _mm512_set1_epi8(0x30);
    for (int j = 0; j < 2; ++j) {
      const __m512i raw = _mm512_load_si512(p + 256 + j * 64);
      const __m512i high[4] = {_mm512_slli_epi16(raw, 4), _mm512_slli_epi16(raw, 2), raw,
                               _mm512_srli_epi16(raw, 2)};
      for (int i = 0; i < 4; ++i) {  // code | (high & bits)
        code[4 * j + i] = _mm512_ternarylogic_epi32(code[4 * j + i], high[i], bits, 0xf8);
      }
    }
  }
}

PELTON_VEC __m512 Half16(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}

// Σ code·(256·hi + lo) over kQuads quads from q0, for all rows of the tile at once.
template <int kRows, int kQuads>
PELTON_VEC void IntegerSums(const __m512i code[8], const PlaneGroup* const row[kRows], int q0,
                            __m512i sum[kRows]) {
  if constexpr (kRows <= 2) {  // few rows: two chains each, for latency
    __m512i high[kRows];
    for (int r = 0; r < kRows; ++r) high[r] = sum[r] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int q = 0; q < kQuads; ++q) {
      for (int r = 0; r < kRows; ++r) {
        high[r] = _mm512_dpbusd_epi32(high[r], code[q0 + q], Broadcast4(row[r]->hi + 4 * (q0 + q)));
        sum[r] = _mm512_dpbusd_epi32(sum[r], code[q0 + q], Broadcast4(row[r]->lo + 4 * (q0 + q)));
      }
    }
    for (int r = 0; r < kRows; ++r) {
      sum[r] = _mm512_add_epi32(_mm512_slli_epi32(high[r], 8), sum[r]);
    }
    return;
  }
  for (int r = 0; r < kRows; ++r) sum[r] = _mm512_setzero_si512();
#pragma GCC unroll 8
  for (int q = 0; q < kQuads; ++q) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sum[r] = _mm512_dpbusd_epi32(sum[r], code[q0 + q], Broadcast4(row[r]->hi + 4 * (q0 + q)));
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sum[r] = _mm512_slli_epi32(sum[r], 8);
#pragma GCC unroll 8
  for (int q = 0; q < kQuads; ++q) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sum[r] = _mm512_dpbusd_epi32(sum[r], code[q0 + q], Broadcast4(row[r]->lo + 4 * (q0 + q)));
    }
  }
}

template <int kRows, Layout kLayout, bool kSymmetric, int kGroup>
PELTON_TARGET void Tile(const PackedMatrix& w, const std::byte* x, size_t row_bytes, float* y,
                        int64_t ldy, int panel) {
  const size_t far = FarBytes(w);
  constexpr size_t kScales = static_cast<size_t>(kBlockInputs / kGroup) * kPanelCols * 2;
  constexpr size_t kCodes = kSymmetric ? kScales : 2 * kScales;
  constexpr size_t kHalfCodes = CodeBytes32(kLayout);
  constexpr size_t kBlockBytes = kCodes + 2 * kHalfCodes;
  const int blocks = Blocks(w.k);
  const std::byte* block = w.data + static_cast<size_t>(panel) * PanelBytes(w);
  __m512 acc[kRows];
  for (int r = 0; r < kRows; ++r) acc[r] = _mm512_setzero_ps();
  for (int b = 0; b < blocks; ++b, block += kBlockBytes) {
    for (size_t line = 0; kRows <= 2 && line < kBlockBytes; line += 64) {
      _mm_prefetch(block + kNearBytes + line, _MM_HINT_T0);
      _mm_prefetch(block + far + line, _MM_HINT_T1);
    }
    for (int h = 0; h < 2; ++h) {  // 32 inputs each
      __m512i code[8];
      LoadCodes<kLayout>(block + kCodes + static_cast<size_t>(h) * kHalfCodes, code);
      const PlaneGroup* row[kRows];
      for (int r = 0; r < kRows; ++r) {
        row[r] = reinterpret_cast<const PlaneGroup*>(x + static_cast<size_t>(r) * row_bytes) +
                 2 * b + h;
      }
      for (int g = 0; g < 32 / kGroup; ++g) {
        __m512i sum[kRows];
        IntegerSums<kRows, kGroup / 4>(code, row, g * (kGroup / 4), sum);
        const size_t at = static_cast<size_t>(h * (32 / kGroup) + g) * kPanelCols * 2;
        const __m512 scale = Half16(block + at);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          if constexpr (kSymmetric) {
            const int32_t total = kGroup == 32 ? row[r]->sum : row[r]->sum_half[g];
            sum[r] = _mm512_sub_epi32(sum[r], _mm512_set1_epi32(w.zero_point * total));
          }
          acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r]),
                                   _mm512_mul_ps(scale, _mm512_set1_ps(row[r]->d)), acc[r]);
        }
        if constexpr (!kSymmetric) {
          const __m512 min = Half16(block + kScales + at);
#pragma GCC unroll 8
          for (int r = 0; r < kRows; ++r) {
            const float dsum = kGroup == 32 ? row[r]->dsum : row[r]->dsum_half[g];
            acc[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(dsum), acc[r]);
          }
        }
      }
    }
  }
  const int col = panel * kPanelCols;
  const int count = w.n - col < kPanelCols ? w.n - col : kPanelCols;
  const auto mask = static_cast<__mmask16>((1U << count) - 1U);
  const __m512 post = _mm512_set1_ps(w.post_scale);
  for (int r = 0; r < kRows; ++r) {
    _mm512_mask_storeu_ps(y + r * ldy + col, mask, _mm512_mul_ps(acc[r], post));
  }
}

// Rows [0, m) of one panel in tiles of 8, 4, 2 and 1.
template <Layout kLayout, bool kSymmetric, int kGroup>
PELTON_TARGET void Panel(const PackedMatrix& w, const std::byte* x, size_t row_bytes, int m,
                         float* y, int64_t ldy, int panel) {
  int r = 0;
  for (; r + kTileRows <= m; r += kTileRows) {
    Tile<kTileRows, kLayout, kSymmetric, kGroup>(w, x + static_cast<size_t>(r) * row_bytes,
                                                 row_bytes, y + r * ldy, ldy, panel);
  }
  if (r + 4 <= m) {
    Tile<4, kLayout, kSymmetric, kGroup>(w, x + static_cast<size_t>(r) * row_bytes, row_bytes,
                                         y + r * ldy, ldy, panel);
    r += 4;
  }
  if (r + 2 <= m) {
    Tile<2, kLayout, kSymmetric, kGroup>(w, x + static_cast<size_t>(r) * row_bytes, row_bytes,
                                         y + r * ldy, ldy, panel);
    r += 2;
  }
  if (r < m) {
    Tile<1, kLayout, kSymmetric, kGroup>(w, x + static_cast<size_t>(r) * row_bytes, row_bytes,
                                         y + r * ldy, ldy, panel);
  }
}

template <Layout kLayout, bool kSymmetric, int kGroup>
PELTON_TARGET void Panels(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                          int panel_begin, int panel_end) {
  const size_t row_bytes = QuantizedRowBytes(w.k);
  const size_t fit = kRowBlockBytes / row_bytes / kTileRows * kTileRows;
  const int row_block = fit < kTileRows ? kTileRows : static_cast<int>(fit < 4096 ? fit : 4096);
  for (int r = 0; r < m; r += row_block) {
    const int rows = m - r < row_block ? m - r : row_block;
    for (int p = panel_begin; p < panel_end; ++p) {
      Panel<kLayout, kSymmetric, kGroup>(w, x + static_cast<size_t>(r) * row_bytes, row_bytes, rows,
                                         y + r * ldy, ldy, p);
    }
  }
}

}  // namespace

PELTON_TARGET void GemmInt(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                           int panel_begin, int panel_end) {
  using Entry = void (*)(const PackedMatrix&, const std::byte*, int, float*, int64_t, int, int);
  static constexpr Entry kEntries[3][2][2] = {
      {{Panels<Layout::kInt4, false, 16>, Panels<Layout::kInt4, false, 32>},
       {Panels<Layout::kInt4, true, 16>, Panels<Layout::kInt4, true, 32>}},
      {{Panels<Layout::kInt6, false, 16>, Panels<Layout::kInt6, false, 32>},
       {Panels<Layout::kInt6, true, 16>, Panels<Layout::kInt6, true, 32>}},
      {{Panels<Layout::kInt8, false, 16>, Panels<Layout::kInt8, false, 32>},
       {Panels<Layout::kInt8, true, 16>, Panels<Layout::kInt8, true, 32>}}};
  kEntries[IntegerIndex(w.layout)][w.symmetric][w.group == 32](w, x, m, y, ldy, panel_begin,
                                                                   panel_end);
}

}  // namespace pelton::kernels::vnni
