// The scalar truth for tables on bf16 tiles (tiles.h). Written to be read; everything but the
// products is `ref`.
#include "kernels/tiles.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/ref/bf16.h"
#include "kernels/ref/ref.h"
#include "tensor/dtype.h"

namespace pelton::kernels {
namespace ref {
namespace {

uint16_t Activation(float x) {
  if (!std::isfinite(x)) return 0x7fc0;
  return RoundToBf16(std::fmin(std::fmax(x * kActivationFactor, -kBf16Max), kBf16Max));
}

// The nearest fp16, ties to even: of a double that holds the exact sum of a product and a number of
// fp16 (multiples of 2^-48 below 2^40 fit; what is smaller never occurs beside such large ones). By
// way of a float whose last bit is set when anything was cut off, so that it rounds once.
uint16_t HalfOf(double v) {
  auto narrow = static_cast<float>(v);
  if (static_cast<double>(narrow) != v) {
    if (std::fabs(static_cast<double>(narrow)) > std::fabs(v)) narrow = std::nextafter(narrow, 0.F);
    narrow = std::bit_cast<float>(std::bit_cast<uint32_t>(narrow) | 1U);
  }
  return tensor::F16FromF32(narrow);
}
double Product(uint16_t a, float b) { return static_cast<double>(tensor::F32FromF16(a)) * b; }

uint16_t FiniteHalfAt(const std::byte* at) {
  uint16_t bits = 0;
  std::memcpy(&bits, at, 2);
  return (bits & 0x7c00) == 0x7c00 ? uint16_t{0} : bits;
}

// Weight of output `col` for input `i` of a panel, as bf16.
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
  const auto code = static_cast<float>(CodeAt(w.layout, block + shape.codes, col, input));
  const uint16_t stored = FiniteHalfAt(block + at);
  const uint16_t min = w.symmetric ? uint16_t{0} : FiniteHalfAt(block + shape.mins + at);
  if (w.layout == Layout::kInt4) {
    const float shifted = (code - static_cast<float>(w.symmetric ? w.zero_point : 0)) * kInt4Factor;
    bits = HalfOf(Product(stored, shifted) + Product(HalfOf(Product(min, kInt4Factor)), 1.F));
  } else {
    const uint16_t scale = HalfOf(Product(stored, kInt8Factor));
    const uint16_t addend = w.symmetric ? HalfOf(Product(scale, -static_cast<float>(w.zero_point)))
                                        : HalfOf(Product(min, kInt8Factor));
    bits = HalfOf(Product(scale, code) + Product(addend, 1.F));
  }
  const int shifted = (static_cast<int16_t>(bits) * 4096 + 16384) >> 15;
  return static_cast<uint16_t>(shifted & 0x8fff);
}

// Output `col` of a panel: its weights in the order of activations.
std::vector<uint16_t> Column(const PackedMatrix& w, const std::byte* panel, int col) {
  std::vector<uint16_t> weights(static_cast<size_t>(Blocks(w.k)) * kBlockInputs);
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto first = static_cast<int64_t>(i / kTileInputs * kTileInputs);
    weights[i] = Weight(w, panel, col, first + TileInputAt(static_cast<int>(i % kTileInputs)));
  }
  return weights;
}

float TileElement(const std::vector<uint16_t>& weights, const std::byte* row) {
  float acc = 0;
  for (size_t first = 0; first < weights.size(); first += kTileInputs) {
    acc = TileStep(
        acc,
        [&](int i) {
          uint16_t x = 0;
          std::memcpy(&x, row + (first + static_cast<size_t>(i)) * 2, 2);
          return x;
        },
        [&](int i) { return weights[first + static_cast<size_t>(i)]; });
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
      const int64_t slot = i - i % kTileInputs + TileInputAt(static_cast<int>(i % kTileInputs));
      std::memcpy(row + slot * 2, &bits, 2);
    }
  }
}

void GemmTiles(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
               int panel_begin, int panel_end) {
  const float factor = SumFactor(w);
  for (int p = panel_begin; p < panel_end; ++p) {
    const std::byte* panel = w.data + static_cast<size_t>(p) * PanelBytes(w);
    for (int col = 0; col < kPanelCols && p * kPanelCols + col < w.n; ++col) {
      const std::vector<uint16_t> weights = Column(w, panel, col);
      for (int r = 0; r < m; ++r) {
        const std::byte* row = x + static_cast<size_t>(r) * TileRowBytes(w.k);
        y[r * ldy + p * kPanelCols + col] = TileElement(weights, row) * factor;
      }
    }
  }
}

}  // namespace
}  // namespace ref

const KernelTable kRefBf16Table = {
    .name = "ref_bf16",
    .usable = [](const CpuFeatures&) { return true; },
    .quantized_row_bytes = ref::Bf16RowBytes,
    .quantize_rows = ref::Bf16Rows,
    .takes_quantized = OnTiles,
    .gemm_int = ref::GemmTiles,
    .gemm_float = ref::GemmFloat,
    .rms_norm = ref::RmsNorm,
    .rope = ref::Rope,
    .silu_mul = ref::SiluMul,
    .gelu_tanh_mul = ref::GeluTanhMul,
    .add = ref::Add,
    .scale = ref::Scale,
    .soft_cap = ref::SoftCap,
    .kv_write = ref::TileKvWrite,
    .attention = ref::TileAttention,
    .attention_segment = ref::TileAttentionSegment,
    .attention_join = ref::AttentionJoin,
    .max_sum_exp = ref::MaxSumExp,
    .argmax = ref::Argmax,
};

}  // namespace pelton::kernels
