// Operations on rows of activations: check, split over the team, call the kernel. Few rows run on
// the calling thread alone. The caller holds the team's Turn. Rows are independent: the result of a
// row has the same bits whatever else is in the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "nn/team.h"

namespace pelton::nn {

// out[r] = x[r] / rms(x[r]) * weight, for [rows, n]. out may be x.
void RmsNormRows(const kernels::KernelTable& table, Team& team, const float* x, int64_t ldx,
                 const float* weight, float eps, int rows, int n, float* out, int64_t ldo);
// The same for each head of [rows, heads, head_dim] in place, with one weight [head_dim] (QK norm).
void RmsNormHeads(const kernels::KernelTable& table, Team& team, float* x, int64_t ldx, int rows,
                  int heads, int head_dim, const float* weight, float eps);
// inout[r] += x[r]
void AddRows(const kernels::KernelTable& table, Team& team, const float* x, int64_t ldx, int rows,
             int n, float* inout, int64_t ldio);

// inout[r] = cap * tanh(inout[r] / cap)
void SoftCapRows(const kernels::KernelTable& table, Team& team, float cap, int rows, int n, float* inout,
                 int64_t ldio);

enum class Gate : uint8_t { kSilu, kGeluTanh };
// out[r] = act(gate[r]) * up[r]. out may be gate or up.
void GateRows(const kernels::KernelTable& table, Team& team, Gate kind, const float* gate,
              const float* up, int64_t ld, int rows, int n, float* out, int64_t ldo);

// cos and sin of position · inverse_frequency[i], computed in double, kept as fp32. Grows on demand
// up to positions_max. Owned by one model; Ensure is called between parallel regions only.
class RopeTable {
 public:
  // inverse_frequency: [rope_dim / 2], any scaling already applied (position scaling included).
  // magnitude: a factor on cos and sin (LongRoPE's attention factor).
  RopeTable(std::vector<double> inverse_frequency, int positions_max, double magnitude = 1.0);
  void Ensure(int positions);  // makes [0, positions) available
  int rope_dim() const { return static_cast<int>(inverse_frequency_.size()) * 2; }
  const float* Cos(int position) const;
  const float* Sin(int position) const;

 private:
  static constexpr int kChunk = 512;  // positions computed at a time
  std::vector<double> inverse_frequency_;
  int positions_max_ = 0;
  double magnitude_ = 1.0;
  std::vector<std::vector<float>> chunks_;  // each [kChunk][2][rope_dim / 2]
};

// Consecutive rows of one sequence: rows [row_begin, row_begin + rows) of the batch sit at
// positions [position, position + rows).
struct RowSpan {
  int row_begin = 0;
  int rows = 0;
  int position = 0;
  const int32_t* block_table = nullptr;  // block of positions [16i, 16i + 16)
};

// In place on x [batch rows, heads, head_dim]; calls rope.Ensure for the positions it needs.
void RopeRows(const kernels::KernelTable& table, Team& team, RopeTable& rope,
              kernels::RopeStyle style, std::span<const RowSpan> spans, float* x, int64_t ldx,
              int heads, int head_dim);

// One layer's KV storage: block b at base + b * block_bytes, block_bytes = KvBlockBytes(…).
struct KvLayer {
  std::byte* base = nullptr;
  size_t block_bytes = 0;
  int kv_heads = 0, head_dim = 0;
};
// k, v: [batch rows, kv_heads, head_dim].
void WriteKvRows(const kernels::KernelTable& table, Team& team, std::span<const RowSpan> spans,
                 const float* k, const float* v, int64_t ld, const KvLayer& layer);

struct AttentionShape {
  int heads = 0;
  int window = 0;       // 0: every earlier position
  float scale = 1.f;
  float softcap = 0.f;  // 0: none
};
// States of segments on their way to being joined; grows to the largest step seen and is reused.
class AttentionScratch {
 public:
  float* Take(size_t floats);  // 64-byte-aligned, valid until the next Take

 private:
  std::vector<float> floats_;
};
// q, out: [batch rows, heads, head_dim]. The KV of all rows must have been written before. Few rows
// with a long context are split over the team by segments of positions; the bits are the same.
void AttentionRows(const kernels::KernelTable& table, Team& team, AttentionScratch& scratch,
                   std::span<const RowSpan> spans, const AttentionShape& shape, const float* q,
                   int64_t ldq, const KvLayer& layer, float* out, int64_t ldo);

}  // namespace pelton::nn
