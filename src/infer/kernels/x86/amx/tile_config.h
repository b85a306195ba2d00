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

}  // namespace pelton::kernels
