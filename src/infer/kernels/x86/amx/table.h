// The table "amx": products with integer and bf16 matrices on bf16 tiles, the rest as "avx512". And
// "amx_int8": integer products on int8 tiles with the bits of all other tables, the rest as
// "avx512_vnni".
#pragma once

#include "kernels/kernels.h"

namespace pelton::kernels {

extern const KernelTable kAmxTable;
extern const KernelTable kAmxInt8Table;

namespace amx {

size_t QuantizedRowBytes(int k);
void QuantizeRows(const float* x, int64_t ldx, int m, int k, std::byte* out);
// w is OnTiles (tiles.h).
void GemmInt(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
             int panel_begin, int panel_end);
bool Gates(const PackedMatrix& gate, const PackedMatrix& up);
void GemmGated(const PackedMatrix& gate, const PackedMatrix& up, const std::byte* x, int m, bool gelu,
               std::byte* out, int panel_begin, int panel_end);
// Parts are joined by avx512::AttentionJoin.
void TileKvWrite(const float* k, const float* v, int kv_heads, int head_dim, int slot, std::byte* block);
void TileAttention(const AttentionArgs& args);
void TileAttentionSegment(const AttentionArgs& args, int segment, float* parts);
// The same without tiles, for few rows; other bits.
void FewAttention(const AttentionArgs& args);
void FewAttentionSegment(const AttentionArgs& args, int segment, float* parts);
// x as vnni::QuantizeRows writes it.
void ExactGemmInt(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                  int panel_begin, int panel_end);

}  // namespace amx
}  // namespace pelton::kernels
