// The scalar truth: defines every operation of the table. Runs anywhere.
#pragma once

#include "kernels/kernels.h"

namespace pelton::kernels {

extern const KernelTable kRefTable;
// The same for tables on bf16 tiles (tiles.h); not among AllTables, for it serves no machine.
extern const KernelTable kRefBf16Table;

namespace ref {

size_t QuantizedRowBytes(int k);
void QuantizeRows(const float* x, int64_t ldx, int m, int k, std::byte* out);
void GemmInt(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
             int panel_begin, int panel_end);
void GemmFloat(const PackedMatrix& w, const float* x, int64_t ldx, int m, float* y, int64_t ldy,
               int panel_begin, int panel_end);
void RmsNorm(const float* x, const float* weight, float eps, int n, float* out);
void Rope(float* x, int heads, int head_dim, int rope_dim, const float* cos, const float* sin,
          RopeStyle style);
void SiluMul(const float* gate, const float* up, int n, float* out);
void GeluTanhMul(const float* gate, const float* up, int n, float* out);
void Add(const float* x, int n, float* inout);
void Scale(float factor, int n, float* inout);
void SoftCap(float cap, int n, float* inout);
void KvWrite(const float* k, const float* v, int kv_heads, int head_dim, int slot,
             std::byte* block);
void Attention(const AttentionArgs& args);
void AttentionSegment(const AttentionArgs& args, int segment, float* parts);
void AttentionJoin(const AttentionArgs& args, int segments, const float* parts);
// On bf16 tiles (tiles.h); heads of other dimensions as above. Parts are joined by AttentionJoin.
void TileKvWrite(const float* k, const float* v, int kv_heads, int head_dim, int slot,
                 std::byte* block);
void TileAttention(const AttentionArgs& args);
void TileAttentionSegment(const AttentionArgs& args, int segment, float* parts);
void MaxSumExp(const float* x, int n, float* max, double* sum_exp);
int Argmax(const float* x, int n);

// e^x by the polynomial of numbers.h.
float Exp(float x);
// Sum of 16 lanes in the one order that all tables use.
float Fold(const float lanes[16]);

}  // namespace ref
}  // namespace pelton::kernels
