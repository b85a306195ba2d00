// The table "amx": products with integer and bf16 matrices on bf16 tiles, the rest as "avx512".
#pragma once

#include "kernels/kernels.h"

namespace pelton::kernels {

extern const KernelTable kAmxTable;

namespace amx {

size_t QuantizedRowBytes(int k);
void QuantizeRows(const float* x, int64_t ldx, int m, int k, std::byte* out);
void GemmInt(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
             int panel_begin, int panel_end);
// w is OnTiles (tiles.h).
void GemmBf16(const PackedMatrix& w, const float* x, int64_t ldx, int m, float* y, int64_t ldy,
              int panel_begin, int panel_end);

}  // namespace amx
}  // namespace pelton::kernels
