// The kernel table: every hot loop as a pure function on pointers, one table an instruction set.
//
// Kernels never allocate, never start threads, never fail. The caller (room `nn`) checks shapes and
// splits work. `ref` is the scalar truth: it defines each operation.
//
// Numbers. A quantised weight matrix is kept as unsigned codes with one (scale, min) for each group
// of 16 or 32 inputs (tensor::AffineForm). Activations meet it as 16-bit integers in two signed
// 8-bit planes, a = d·(256·hi + lo), with one fp32 scale d for each 32 inputs of a row, so that
//   y[n] = Σ_groups  d·s[n]·Σ(code·a) + d·min[n]·Σa
// has exact integer inner sums on every instruction set: VNNI and later int8 tiles (two passes) and
// plain multiply-adds give the same bits. The fp32 part is one fused multiply-add a term in
// ascending order of groups (ref spells the order out); a table may reorder nothing.
// Float matrices (F32, F16, BF16) meet fp32 activations.
// Tables on bf16 tiles are a family of their own (tiles.h): weights and activations rounded to bf16,
// sums in fp32. `definition` tells which family a table belongs to.
//
// Batch invariance: for one table, output row i depends on input row i and the weights only, bit for
// bit, whatever m, the panel range, the row tile or the thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/cpu.h"
#include "tensor/dtype.h"

namespace pelton::kernels {

inline constexpr int kPanelCols = 16;      // outputs of one weight panel
inline constexpr int kActivationGroup = 32;
inline constexpr int kKvBlockTokens = 16;  // positions of one KV block
inline constexpr int kAttentionSegment = 512;  // positions that attention sums on their own
// Raise it with any change of what any table writes into KV blocks, where or which bits: blocks on disk
// carry it (docs/formats/prefix-cache.md). A test holds the layout to it.
inline constexpr int kKvLayoutVersion = 2;

enum class Layout : uint8_t {
  kNone,
  kInt4,    // codes of 4 bits
  kInt6,    // of 5 and 6 bits
  kInt8,    // of 8 bits
  kF32, kF16, kBF16,
};

// A linear layer's weights [n outputs, k inputs], packed in panels of 16 outputs. n is padded to 16
// and k to 64 with zero weights. A view: the bytes belong to the caller, 64-byte-aligned.
struct PackedMatrix {
  Layout layout = Layout::kNone;
  bool symmetric = true;   // integer layouts: no stored minimum, zero_point is fixed
  int zero_point = 0;
  int group = 32;          // 16 or 32
  int n = 0, k = 0;        // true sizes
  float post_scale = 1.f;  // a power of two on every stored scale and min: the largest is in [2^13, 2^14)
  const std::byte* data = nullptr;

  int panels() const { return (n + kPanelCols - 1) / kPanelCols; }
};

// How `dtype` is packed, without data; and how many bytes that takes (overflow-checked by caller:
// n and k are at most 2^31 and the product fits 63 bits).
PackedMatrix PackPlan(tensor::DType dtype, int n, int k);
uint64_t PackedBytes(const PackedMatrix& plan);
// Packs panels [panel_begin, panel_end) of `rows` ([n, k] in `dtype`, row-major) into dst, which has
// PackedBytes(plan). Different panels may be packed by different threads. For integer layouts
// `plan.post_scale` must have been set by PackScale over the whole matrix first.
float PackScale(tensor::DType dtype, const std::byte* rows, int n, int k);
void PackPanels(const PackedMatrix& plan, tensor::DType dtype, const std::byte* rows,
                int panel_begin, int panel_end, std::byte* dst);
// Row n of a packed matrix as fp32 [k] (embedding look-up from a tied output head).
void UnpackRow(const PackedMatrix& w, int row, float* out);

enum class RopeStyle : uint8_t {
  kInterleaved,  // pairs (2i, 2i+1): GGUF "llama"
  kHalves,       // pairs (i, i + rope_dim/2): GGUF "gemma3" and most others
};

// Attention of consecutive rows of ONE sequence over its paged KV, for kv heads
// [kv_head_begin, kv_head_end). Row r sits at absolute position `position + r` and attends to
// positions max(0, position + r - window + 1) … position + r (window 0: all).
struct AttentionArgs {
  const float* q = nullptr;  // [rows, heads, head_dim], rotary embedding applied, unscaled
  int64_t q_stride = 0;      // floats between rows
  float* out = nullptr;      // [rows, heads, head_dim]
  int64_t out_stride = 0;
  const std::byte* kv = nullptr;         // this layer's storage; block b lies at b * block_bytes
  size_t block_bytes = 0;                // = KvBlockBytes(kv_heads, head_dim)
  const int32_t* block_table = nullptr;  // block of positions [16i, 16i+16)
  int rows = 0;
  int position = 0;
  int window = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;  // heads is a multiple of kv_heads
  int kv_head_begin = 0, kv_head_end = 0;
  float scale = 1.f;
  float softcap = 0.f;  // 0: none; else s = softcap * tanh(s / softcap)
};

// Segments that a row at `position` reaches: absolute runs of kAttentionSegment positions.
inline int FirstSegment(int position, int window) {
  return window > 0 && position >= window ? (position - window + 1) / kAttentionSegment : 0;
}
inline int SegmentCount(int position, int window) {
  return position / kAttentionSegment - FirstSegment(position, window) + 1;
}
// Floats that hold one query's state over one segment: [head_dim padded to 16] sums of values,
// [16] sums of weights, the maximum, padding.
inline size_t AttentionPartFloats(int head_dim) {
  return (static_cast<size_t>(head_dim) + 15) / 16 * 16 + 32;
}

// Rows that the memory of `m` quantised rows has room for.
inline int PaddedRows(int m) { return (m + 15) / 16 * 16; }

struct KernelTable {
  std::string_view name;  // "ref", "avx2", "avx512", "avx512_vnni"
  bool (*usable)(const CpuFeatures&);

  // Activations for the matrices that takes_quantized: m rows [m, k] (row stride ldx floats) into
  // `out`, quantized_row_bytes(k) each. Opaque: written and read by the same table only.
  size_t (*quantized_row_bytes)(int k);
  void (*quantize_rows)(const float* x, int64_t ldx, int m, int k, std::byte* out);
  bool (*takes_quantized)(const PackedMatrix& w);

  // y[r, 16·panel_begin …) for r in [0, m): y has row stride ldy, columns are absolute (y + n).
  // Columns at or above w.n are not written. gemm_int: for what takes_quantized, `x` is
  // quantize_rows' output in memory for PaddedRows(m) rows (what lies in the rows beyond m is read
  // and changes nothing). gemm_float: for the others.
  void (*gemm_int)(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                   int panel_begin, int panel_end);
  void (*gemm_float)(const PackedMatrix& w, const float* x, int64_t ldx, int m, float* y,
                     int64_t ldy, int panel_begin, int panel_end);

  // out[i] = x[i] / sqrt(mean(x²) + eps) * weight[i]
  void (*rms_norm)(const float* x, const float* weight, float eps, int n, float* out);
  // In place on [heads, head_dim]; the first rope_dim dimensions turn by cos/sin [rope_dim / 2].
  void (*rope)(float* x, int heads, int head_dim, int rope_dim, const float* cos, const float* sin,
               RopeStyle style);
  void (*silu_mul)(const float* gate, const float* up, int n, float* out);       // silu(gate)·up
  void (*gelu_tanh_mul)(const float* gate, const float* up, int n, float* out);  // gelu(gate)·up
  void (*add)(const float* x, int n, float* inout);                              // inout += x
  void (*scale)(float factor, int n, float* inout);
  void (*soft_cap)(float cap, int n, float* inout);  // cap * tanh(inout / cap)

  // One token's keys and values [kv_heads, head_dim] into slot `slot` (0…15) of a block. Values are
  // stored as fp16, clamped to finite. The layout inside a block belongs to the table family.
  void (*kv_write)(const float* k, const float* v, int kv_heads, int head_dim, int slot,
                   std::byte* block);
  void (*attention)(const AttentionArgs& args);
  // The same in two steps, for one row (args.rows is 1) and one kv head (kv_head_begin): the state of
  // its queries over one segment into parts [heads / kv_heads][AttentionPartFloats], 64-byte-aligned;
  // then the states of all the row's segments, [segments][heads / kv_heads][…], into args.out. The bits
  // are those of `attention`.
  void (*attention_segment)(const AttentionArgs& args, int segment, float* parts);
  void (*attention_join)(const AttentionArgs& args, int segments, const float* parts);

  // max and Σ exp(x - max) of a row, in a fixed order; and the index of the first maximum.
  void (*max_sum_exp)(const float* x, int n, float* max, double* sum_exp);
  int (*argmax)(const float* x, int n);

  // The scalar table whose bits this one gives; null: `ref`. See DefinitionOf.
  const KernelTable* definition = nullptr;

  // The products of a gated feed-forward at once; null: none. For pairs that it `gates`: the bits of two
  // gemm_int, silu_mul (gelu_tanh_mul), and quantize_rows of gate.n inputs into `out`, of which panels
  // [panel_begin, panel_end) are written.
  bool (*gates)(const PackedMatrix& gate, const PackedMatrix& up) = nullptr;
  void (*gemm_gated)(const PackedMatrix& gate, const PackedMatrix& up, const std::byte* x, int m,
                     bool gelu, std::byte* out, int panel_begin, int panel_end) = nullptr;

  // Another table with the same KV blocks, faster for steps of at most few_rows_max rows; null: none. Its
  // bits are others, so who wants row i's bits whatever m does not use it.
  const KernelTable* few_rows = nullptr;
  int few_rows_max = 0;
};

// `ref`, or `ref_bf16` for tables on bf16 tiles, whose products are rounded otherwise.
const KernelTable& DefinitionOf(const KernelTable& table);

size_t KvBlockBytes(int kv_heads, int head_dim);

// Best first; only tables this build has. `ref` is always last.
std::span<const KernelTable* const> AllTables();
// The best table that is usable here, or the one PELTON_FORCE_ISA names (read by the caller and
// given here; empty for none). Null when that name is unknown or not usable.
const KernelTable* ChooseTable(const CpuFeatures& features, std::string_view forced);

}  // namespace pelton::kernels
