// The table "avx512_vnni": integer products on vpdpbusd, the rest as "avx512".
#pragma once

#include "kernels/kernels.h"

namespace pelton::kernels {

extern const KernelTable kVnniTable;

namespace vnni {

size_t QuantizedRowBytes(int k);
void QuantizeRows(const float* x, int64_t ldx, int m, int k, std::byte* out);
void GemmInt(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
             int panel_begin, int panel_end);

}  // namespace vnni
}  // namespace pelton::kernels
