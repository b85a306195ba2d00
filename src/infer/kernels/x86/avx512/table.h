// Entries of the table "avx512", shared with the tables built on it.
#pragma once

#include "kernels/kernels.h"

namespace pelton::kernels {

extern const KernelTable kAvx512Table;

namespace avx512 {

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
void AddTo(const float* x, int n, float* inout);
void ScaleBy(float factor, int n, float* inout);
void SoftCap(float cap, int n, float* inout);
void KvWrite(const float* k, const float* v, int kv_heads, int head_dim, int slot,
             std::byte* block);
void Attention(const AttentionArgs& args);
void AttentionSegment(const AttentionArgs& args, int segment, float* parts);
void AttentionJoin(const AttentionArgs& args, int segments, const float* parts);
void MaxSumExp(const float* x, int n, float* max, double* sum_exp);
int Argmax(const float* x, int n);

}  // namespace avx512
}  // namespace pelton::kernels
