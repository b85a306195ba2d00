// Matrix products and the quantisation of activations, one element at a time.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/numbers.h"
#include "kernels/packed.h"
#include "kernels/ref/ref.h"

namespace pelton::kernels::ref {
namespace {

// Largest |x| of the group by its bits, so that infinities and NaN win.
uint32_t LargestMagnitudeBits(const float* x, int count) {
  uint32_t largest = 0;
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffU;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// One group of 32 inputs, of which `count` exist. A group with an infinity or NaN becomes d = NaN,
// which reaches every output of the row.
void QuantizeGroup(const float* x, int count, PlaneGroup* out) {
  std::memset(out, 0, sizeof *out);
  const uint32_t bits = LargestMagnitudeBits(x, count);
  const float amax = std::bit_cast<float>(bits);
  float factor = 0;
  if (bits >= 0x7f800000U) {
    out->d = std::bit_cast<float>(0x7fc00000U);
    out->dsum = out->dsum_half[0] = out->dsum_half[1] = out->d;
    return;
  }
  if (amax >= kQuantTiny) {
    out->d = amax / kQuantMax;
    factor = kQuantMax / amax;
  }
  for (int i = 0; i < count; ++i) {
    // |x·factor| ≤ kQuantMax·(1 + 2^-23), which rounds to at most kQuantMax.
    const int a = static_cast<int>(std::nearbyintf(x[i] * factor));
    const int hi = (a + 128) >> 8;
    out->hi[i] = static_cast<int8_t>(hi);
    out->lo[i] = static_cast<int8_t>(a - 256 * hi);
    out->sum_half[i / 16] += a;
  }
  out->sum = out->sum_half[0] + out->sum_half[1];
  out->dsum_half[0] = out->d * static_cast<float>(out->sum_half[0]);
  out->dsum_half[1] = out->d * static_cast<float>(out->sum_half[1]);
  out->dsum = out->d * static_cast<float>(out->sum);
}

float F16At(const std::byte* at) {
  uint16_t bits = 0;
  std::memcpy(&bits, at, 2);
  return tensor::F32FromF16(bits);
}

float GemmIntElement(const PackedMatrix& w, const std::byte* panel, const PlaneGroup* x, int col) {
  const IntBlock shape = IntBlockOf(w);
  float acc = 0;
  for (int b = 0; b < Blocks(w.k); ++b) {
    const std::byte* block = panel + static_cast<size_t>(b) * shape.bytes;
    for (int g = 0; g < shape.groups; ++g) {
      const int first = g * w.group;  // input within the block
      const PlaneGroup& a = x[b * 2 + first / 32];
      const int half = first % 32 / 16;
      int32_t sum = 0;
      for (int i = first; i < first + w.group; ++i) {
        const int value = 256 * a.hi[i % 32] + a.lo[i % 32];
        sum += CodeAt(w.layout, block + shape.codes, col, i) * value;
      }
      if (w.symmetric) sum -= w.zero_point * (w.group == 32 ? a.sum : a.sum_half[half]);
      const size_t at = static_cast<size_t>(g * kPanelCols + col) * 2;
      acc = std::fma(static_cast<float>(sum), F16At(block + at) * a.d, acc);
      if (!w.symmetric) {
        const float dsum = w.group == 32 ? a.dsum : a.dsum_half[half];
        acc = std::fma(F16At(block + shape.mins + at), dsum, acc);
      }
    }
  }
  return acc * w.post_scale;
}

float FloatAt(Layout layout, const std::byte* panel, int64_t index) {
  if (layout == Layout::kF32) {
    float v = 0;
    std::memcpy(&v, panel + index * 4, 4);
    return v;
  }
  uint16_t bits = 0;
  std::memcpy(&bits, panel + index * 2, 2);
  return layout == Layout::kF16 ? tensor::F32FromF16(bits) : tensor::F32FromBF16(bits);
}

}  // namespace

size_t QuantizedRowBytes(int k) { return static_cast<size_t>(Blocks(k)) * 2 * sizeof(PlaneGroup); }

void QuantizeRows(const float* x, int64_t ldx, int m, int k, std::byte* out) {
  const int groups = Blocks(k) * 2;
  for (int r = 0; r < m; ++r) {
    auto* row = reinterpret_cast<PlaneGroup*>(out + static_cast<size_t>(r) * QuantizedRowBytes(k));
    for (int g = 0; g < groups; ++g) {
      const int left = k - g * 32;
      const int count = left < 0 ? 0 : left < 32 ? left : 32;
      QuantizeGroup(x + r * ldx + (count > 0 ? g * 32 : 0), count, row + g);
    }
  }
}

void GemmInt(const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
             int panel_begin, int panel_end) {
  const size_t row_bytes = QuantizedRowBytes(w.k);
  for (int p = panel_begin; p < panel_end; ++p) {
    const std::byte* panel = w.data + static_cast<size_t>(p) * PanelBytes(w);
    for (int r = 0; r < m; ++r) {
      const auto* row = reinterpret_cast<const PlaneGroup*>(x + static_cast<size_t>(r) * row_bytes);
      for (int col = 0; col < kPanelCols && p * kPanelCols + col < w.n; ++col) {
        y[r * ldy + p * kPanelCols + col] = GemmIntElement(w, panel, row, col);
      }
    }
  }
}

// One chain of fused multiply-adds over ascending inputs.
void GemmFloat(const PackedMatrix& w, const float* x, int64_t ldx, int m, float* y, int64_t ldy,
               int panel_begin, int panel_end) {
  for (int p = panel_begin; p < panel_end; ++p) {
    const std::byte* panel = w.data + static_cast<size_t>(p) * PanelBytes(w);
    for (int r = 0; r < m; ++r) {
      for (int col = 0; col < kPanelCols && p * kPanelCols + col < w.n; ++col) {
        float acc = 0;
        for (int64_t i = 0; i < w.k; ++i) {
          acc = std::fma(x[r * ldx + i], FloatAt(w.layout, panel, i * kPanelCols + col), acc);
        }
        y[r * ldy + p * kPanelCols + col] = acc;
      }
    }
  }
}

}  // namespace pelton::kernels::ref
