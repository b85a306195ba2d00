// The operand of ldtilecfg: palette 1, eight tiles of up to 16 rows of 64 bytes (Intel's manual,
// "Intel AMX, tile configuration").
#pragma once

#include <cstdint>

namespace pelton::kernels {

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];  // tiles 8 … 15 do not exist: zero
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

// All tiles whole, always: with fewer rows the products no longer follow one another in the pipeline
// (40 cycles each and more, measured). Rows beyond the last are multiplied and not stored.
inline TileConfig WholeTiles() {
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = 16;
    config.row_bytes[t] = 64;
  }
  return config;
}

}  // namespace pelton::kernels
