// The tile operations of tile_emulator.h, after the pseudo-code of Intel's manual.
#include "kernels/testing/tile_emulator.h"

#include <immintrin.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace pelton::kernels::testing {
namespace {

thread_local TileState tiles = {};

[[noreturn]] void Fault(const char* what) {
  std::fprintf(stderr, "tile emulator: %s\n", what);
  std::abort();
}

int RowsOf(int tile) { return tiles.config.rows[tile]; }
int BytesOf(int tile) { return tiles.config.row_bytes[tile]; }

void CheckTile(int tile) {
  if (tiles.config.palette != 1) Fault("#UD: no configuration loaded");
  if (tile < 0 || tile > 7) Fault("#UD: no such tile");
  if (RowsOf(tile) == 0 || BytesOf(tile) == 0) Fault("#UD: the tile is not configured");
}

void CheckConfig(const TileConfig& c) {
  if (c.palette > 1) Fault("#GP: unknown palette");
  if (c.start_row != 0) Fault("start_row is set, which only an interrupted load may do");
  for (const uint8_t b : c.reserved) {
    if (b != 0) Fault("#GP: reserved bytes of a configuration");
  }
  for (int t = 0; t < 16; ++t) {
    if (t >= 8 && (c.rows[t] != 0 || c.row_bytes[t] != 0)) Fault("#GP: more than 8 tiles");
    if (c.rows[t] > 16 || c.row_bytes[t] > 64) Fault("#GP: tile too large");
    if (c.rows[t] == 0 && c.row_bytes[t] != 0) Fault("#GP: bytes without rows");
    if (c.rows[t] != 0 && c.row_bytes[t] == 0) Fault("#GP: rows without bytes");
  }
}

// One row of TDPBF16PS: two chains of fused multiply-adds from zero, then one addition to C. `b` has
// `pairs` rows of 16 columns, zero beyond the configured ones. MXCSR: nearest even, denormals zero.
__attribute__((target("avx2,fma"))) void DotRowBf16(const uint8_t* a, const uint8_t (*b)[64],
                                                    int pairs, uint8_t* c) {
  const __m256i high = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000U));
  __m256 even[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  __m256 odd[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int k = 0; k < pairs; ++k) {
    int32_t pair = 0;
    std::memcpy(&pair, a + 4 * k, 4);
    const __m256i both = _mm256_set1_epi32(pair);
    const __m256 a_even = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    const __m256 a_odd = _mm256_castsi256_ps(_mm256_and_si256(both, high));
    for (int half = 0; half < 2; ++half) {
      const __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(b[k] + 32 * half));
      const __m256 w_even = _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
      const __m256 w_odd = _mm256_castsi256_ps(_mm256_and_si256(w, high));
      even[half] = _mm256_fmadd_ps(a_even, w_even, even[half]);
      odd[half] = _mm256_fmadd_ps(a_odd, w_odd, odd[half]);
    }
  }
  for (int half = 0; half < 2; ++half) {
    auto* sums = reinterpret_cast<float*>(c + 32 * half);
    const __m256 step = _mm256_add_ps(even[half], odd[half]);
    _mm256_store_ps(sums, _mm256_add_ps(_mm256_load_ps(sums), step));
  }
}

void DotBf16(int c, int a, int b) {
  constexpr uint32_t kFlush = 0x8000;
  constexpr uint32_t kDenormalsAreZero = 0x0040;
  const uint32_t before = _mm_getcsr();
  _mm_setcsr((before & ~0x6000U) | kFlush | kDenormalsAreZero);
  for (int m = 0; m < RowsOf(c); ++m) {
    DotRowBf16(tiles.data[a][m], tiles.data[b], BytesOf(a) / 4, tiles.data[c][m]);
  }
  _mm_setcsr(before);
}

int32_t Byte(uint8_t v, bool is_signed) { return is_signed ? static_cast<int8_t>(v) : v; }

void DotInt8(int c, int a, int b, bool a_signed, bool b_signed) {
  for (int m = 0; m < RowsOf(c); ++m) {
    for (int n = 0; n < BytesOf(c) / 4; ++n) {
      uint32_t sum = 0;
      std::memcpy(&sum, &tiles.data[c][m][4 * n], 4);
      for (int k = 0; k < BytesOf(a); ++k) {
        sum += static_cast<uint32_t>(Byte(tiles.data[a][m][k], a_signed) *
                                     Byte(tiles.data[b][k / 4][4 * n + k % 4], b_signed));
      }
      std::memcpy(&tiles.data[c][m][4 * n], &sum, 4);
    }
  }
}

}  // namespace

TileState& ThreadTiles() { return tiles; }

void EmulateConfigure(const void* config) {
  TileConfig c;
  std::memcpy(&c, config, sizeof c);
  CheckConfig(c);
  std::memset(&tiles, 0, sizeof tiles);
  if (c.palette == 1) tiles.config = c;
}

void EmulateStoreConfig(void* config) { std::memcpy(config, &tiles.config, sizeof tiles.config); }

void EmulateRelease() { std::memset(&tiles, 0, sizeof tiles); }

void EmulateZero(int tile) {
  CheckTile(tile);
  std::memset(tiles.data[tile], 0, sizeof tiles.data[tile]);
}

void EmulateLoad(int tile, const std::byte* from, int64_t stride) {
  EmulateZero(tile);
  for (int r = 0; r < RowsOf(tile); ++r) {
    std::memcpy(tiles.data[tile][r], from + r * stride, static_cast<size_t>(BytesOf(tile)));
  }
}

void EmulateStore(int tile, std::byte* to, int64_t stride) {
  CheckTile(tile);
  for (int r = 0; r < RowsOf(tile); ++r) {
    std::memcpy(to + r * stride, tiles.data[tile][r], static_cast<size_t>(BytesOf(tile)));
  }
}

void EmulateDot(TileDotKind kind, int c, int a, int b) {
  CheckTile(c);
  CheckTile(a);
  CheckTile(b);
  if (c == a || c == b || a == b) Fault("#UD: one tile twice");
  if (RowsOf(c) != RowsOf(a) || BytesOf(c) != BytesOf(b) || BytesOf(a) != 4 * RowsOf(b) ||
      BytesOf(a) % 4 != 0 || BytesOf(b) % 4 != 0) {
    Fault("#UD: shapes do not fit");
  }
  switch (kind) {
    case TileDotKind::kBf16: DotBf16(c, a, b); break;
    case TileDotKind::kSS: DotInt8(c, a, b, true, true); break;
    case TileDotKind::kSU: DotInt8(c, a, b, true, false); break;
    case TileDotKind::kUS: DotInt8(c, a, b, false, true); break;
    case TileDotKind::kUU: DotInt8(c, a, b, false, false); break;
  }
}

}  // namespace pelton::kernels::testing
