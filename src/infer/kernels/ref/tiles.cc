// The scalar truth for tables on bf16 tiles (tiles.h). Written to be read; everything but the
// products is `ref`.
#include "kernels/tiles.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/ref/ref.h"
#include "tensor/dtype.h"

namespace pelton::kernels {
namespace ref {
namespace {

constexpr float kSmallestNormal = 0x1p-126F;

float FlushDenormal(float v) { return std::fabs(v) < kSmallestNormal ? std::copysign(0.F, v) : v; }

// Rounded as vcvtneps2bf16 does: denormals are zero before and after.
uint16_t RoundToBf16(float v) { return tensor::BF16FromF32(FlushDenormal(v)); }

float Fma(float a, float b, float c) { return FlushDenormal(std::fma(a, b, c)); }
float Sum(float a, float b) { return FlushDenormal(a + b); }
float Operand(uint16_t bits) { return FlushDenormal(tensor::F32FromBF16(bits)); }

uint16_t Activation(float x) {
  if (!std::isfinite(x)) return 0x7fc0;
  return RoundToBf16(std::fmin(std::fmax(x, -kBf16Max), kBf16Max));
}

float HalfAt(const std::byte* at) {
  uint16_t bits = 0;
  std::memcpy(&bits, at, 2);
  return tensor::F32FromF16(bits);
}

// Weight of output `col` for input `i` of a panel, without post_scale. The zero point is folded into
// the addend, which fp32 holds exactly.
uint16_t Weight(const PackedMatrix& w, const std::byte* panel, int col, int64_t i) {
  uint16_t bits = 0;
  if (w.layout == Layout::kBF16) {
    std::memcpy(&bits, panel + (i * kPanelCols + col) * 2, 2);
    return bits;
  }
  const IntBlock shape = IntBlockOf(w);
  const std::byte* block = panel + static_cast<size_t>(i / kBlockInputs) * shape.bytes;
  const int input = static_cast<int>(i % kBlockInputs);
  const size_t at = static_cast<size_t>(input / w.group * kPanelCols + col) * 2;
  const float scale = HalfAt(block + at);
  const float addend = w.symmetric ? -static_cast<float>(w.zero_point) * scale
                                   : HalfAt(block + shape.mins + at);
  const int code = CodeAt(w.layout, block + shape.codes, col, input);
  return RoundToBf16(std::fma(static_cast<float>(code), scale, addend));
}

float TileElement(const PackedMatrix& w, const std::byte* panel, const std::byte* row, int col) {
  float acc = 0;
  for (int64_t first = 0; first < static_cast<int64_t>(Blocks(w.k)) * kBlockInputs;
       first += kTileInputs) {
    float chain[2] = {0, 0};
    for (int64_t i = first; i < first + kTileInputs; ++i) {
      uint16_t x = 0;
      std::memcpy(&x, row + i * 2, 2);
      chain[i % 2] = Fma(Operand(x), Operand(Weight(w, panel, col, i)), chain[i % 2]);
    }
    acc = Sum(acc, Sum(chain[0], chain[1]));
  }
  return acc;
}

size_t Bf16RowBytes(int k) { return TileRowBytes(k); }

void Bf16Rows(const float* x, int64_t ldx, int m, int k, std::byte* out) {
  for (int r = 0; r < m; ++r) {
    std::byte* row = out + static_cast<size_t>(r) * TileRowBytes(k);
    std::memset(row, 0, TileRowBytes(k));
    for (int64_t i = 0; i < k; ++i) {
      const uint16_t bits = Activation(x[r * ldx + i]);
      std::memcpy(row + i * 2, &bits, 2);
    }
  }
}

void GemmTiles(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
               int panel_begin, int panel_end) {
  const float post = IsInteger(w.layout) ? w.post_scale : 1.F;
  for (int p = panel_begin; p < panel_end; ++p) {
    const std::byte* panel = w.data + static_cast<size_t>(p) * PanelBytes(w);
    for (int r = 0; r < m; ++r) {
      const std::byte* row = x + static_cast<size_t>(r) * TileRowBytes(w.k);
      for (int col = 0; col < kPanelCols && p * kPanelCols + col < w.n; ++col) {
        y[r * ldy + p * kPanelCols + col] = TileElement(w, panel, row, col) * post;
      }
    }
  }
}

void GemmFloatOnTiles(const PackedMatrix& w, const float* x, int64_t ldx, int m, float* y,
                      int64_t ldy, int panel_begin, int panel_end) {
  if (!OnTiles(w)) return GemmFloat(w, x, ldx, m, y, ldy, panel_begin, panel_end);
  std::vector<std::byte> rows(static_cast<size_t>(m) * TileRowBytes(w.k));
  Bf16Rows(x, ldx, m, w.k, rows.data());
  GemmTiles(w, rows.data(), m, y, ldy, panel_begin, panel_end);
}

}  // namespace
}  // namespace ref

const KernelTable kRefBf16Table = {
    .name = "ref_bf16",
    .usable = [](const CpuFeatures&) { return true; },
    .quantized_row_bytes = ref::Bf16RowBytes,
    .quantize_rows = ref::Bf16Rows,
    .gemm_int = ref::GemmTiles,
    .gemm_float = ref::GemmFloatOnTiles,
    .rms_norm = ref::RmsNorm,
    .rope = ref::Rope,
    .silu_mul = ref::SiluMul,
    .gelu_tanh_mul = ref::GeluTanhMul,
    .add = ref::Add,
    .scale = ref::Scale,
    .kv_write = ref::KvWrite,
    .attention = ref::Attention,
    .attention_segment = ref::AttentionSegment,
    .attention_join = ref::AttentionJoin,
    .max_sum_exp = ref::MaxSumExp,
    .argmax = ref::Argmax,
};

}  // namespace pelton::kernels
