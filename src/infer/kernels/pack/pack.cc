// Weights of a file → panels (docs/formats/packed.md). Runs once at load.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/assert.h"
#include "kernels/kernels.h"
#include "kernels/pack/transpose.h"
#include "kernels/packed.h"
#include "tensor/affine_scales.h"

namespace pelton::kernels {
namespace {

using tensor::DType;

// Inputs unpacked at a time: every block size (1, 32, 256) divides it, and it is a multiple of 64.
constexpr int kPiece = 256;

constexpr int kExponentMin = -100;  // of post_scale

struct Piece {  // `kPiece` inputs of one row
  uint8_t codes[kPiece];
  float scales[kPiece / 16];
  float mins[kPiece / 16];
};

// Bytes from the start of a row to element `i`, a multiple of the block.
size_t RowOffset(DType dtype, int64_t i) {
  const tensor::DTypeInfo& info = tensor::InfoOf(dtype);
  return static_cast<size_t>(i) / info.block_elems * info.block_bytes;
}

// Halves at the head of each block that are its scale and minimum, for types that keep them so; else 0.
int HalvesOf(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0: case DType::kQ5_0: case DType::kQ8_0: return 1;
    case DType::kQ4_1: case DType::kQ5_1: return 2;
    default: return 0;
  }
}

// Of fp16 numbers at the head of each block, as bits of the largest magnitude that is finite.
uint16_t LargestHalf(const tensor::DTypeInfo& info, int halves, const std::byte* rows, size_t bytes) {
  uint16_t largest = 0;
  for (size_t at = 0; at < bytes; at += info.block_bytes) {
    for (int h = 0; h < halves; ++h) {
      uint16_t bits = 0;
      std::memcpy(&bits, rows + at + static_cast<size_t>(h) * 2, 2);
      bits &= 0x7fff;
      if (bits < 0x7c00 && bits > largest) largest = bits;
    }
  }
  return largest;
}

// An fp16 number times 2^exponent; by its exponent alone where it stays a normal number.
uint16_t ScaledHalf(uint16_t bits, int exponent) {
  const int e = (bits >> 10 & 31) + exponent;
  if ((bits & 0x7c00) != 0 && (bits & 0x7c00) != 0x7c00 && e >= 1 && e <= 30) {
    return static_cast<uint16_t>((bits & 0x83ff) | e << 10);
  }
  return tensor::F16FromF32(std::ldexp(tensor::F32FromF16(bits), exponent));
}

void CopyHalf(const std::byte* from, int exponent, std::byte* to) {
  uint16_t bits = 0;
  std::memcpy(&bits, from, 2);
  bits = ScaledHalf(bits, exponent);
  std::memcpy(to, &bits, 2);
}

void StoreHalf(std::byte* at, float v) {
  const uint16_t bits = tensor::F16FromF32(v);
  std::memcpy(at, &bits, 2);
}

// Codes of one block, as they come from the file: one line an output.
struct alignas(64) CodeTile {
  uint8_t codes[kPanelCols][kBlockInputs];
};

// Bits 4 and 5 of an output's 32 codes.
void StoreHighBits(const uint8_t* codes, size_t col, std::byte* high) {
  for (size_t j = 0; j < 2; ++j) {
    uint32_t joined = 0;
    for (size_t i = 0; i < 4; ++i) {
      uint32_t quad = 0;
      std::memcpy(&quad, codes + (4 * j + i) * 4, 4);
      joined |= (quad >> 4 & 0x03030303U) << 2 * i;
    }
    std::memcpy(high + j * 64 + col * 4, &joined, 4);
  }
}

// Transposes in units of quads: [output][quad] → [quad][output]; 4-bit codes also join in pairs.
void StoreCodes(Layout layout, const CodeTile& tile, std::byte* codes) {
  const auto* rows = reinterpret_cast<const std::byte*>(tile.codes);
  if (layout == Layout::kInt8) {
    for (size_t four = 0; four < 4; ++four) {
      TransposeWords(rows + four * 16, kBlockInputs, codes + four * 256);
    }
    return;
  }
  for (size_t half = 0; half < 2; ++half) {
    std::byte* to = codes + half * CodeBytes32(layout);
    uint8_t joined[kPanelCols][16];
    for (size_t col = 0; col < kPanelCols; ++col) {
      const uint8_t* row = tile.codes[col] + half * 32;
      uint8_t low[32];
      for (int i = 0; i < 32; ++i) low[i] = row[i] & 15;
      JoinNibbles(low, low + 16, joined[col]);
      if (layout == Layout::kInt6) StoreHighBits(row, col, to + 256);
    }
    TransposeWords(reinterpret_cast<const std::byte*>(joined), 16, to);
  }
}

// Inputs [at, at + count) of `cols` rows, count ≤ kPiece, into their blocks of the panel.
void PackIntPiece(const PackedMatrix& plan, DType dtype, const std::byte* rows, size_t row_bytes,
                  int cols, int64_t at, int count, std::byte* panel) {
  const IntBlock shape = IntBlockOf(plan);
  const float factor = 1.f / plan.post_scale;  // a power of two: exact
  const int blocks = (count + kBlockInputs - 1) / kBlockInputs;
  std::byte* first = panel + static_cast<size_t>(at / kBlockInputs) * shape.bytes;
  CodeTile tiles[kPiece / kBlockInputs] = {};
  for (int col = 0; col < cols; ++col) {
    Piece piece;
    tensor::UnpackAffineRow(dtype,
                            rows + static_cast<size_t>(col) * row_bytes + RowOffset(dtype, at),
                            count, piece.codes, piece.scales, piece.mins);
    for (int g = 0; g < count / plan.group; ++g) {
      std::byte* scale = first + static_cast<size_t>(g / shape.groups) * shape.bytes +
                         static_cast<size_t>(g % shape.groups * kPanelCols + col) * 2;
      StoreHalf(scale, piece.scales[g] * factor);
      if (!plan.symmetric) StoreHalf(scale + shape.mins, piece.mins[g] * factor);
    }
    for (int b = 0; b < blocks; ++b) {
      const int here = std::min(kBlockInputs, count - b * kBlockInputs);
      std::memcpy(tiles[b].codes[col], piece.codes + b * kBlockInputs, static_cast<size_t>(here));
    }
  }
  for (int b = 0; b < blocks; ++b) {
    StoreCodes(plan.layout, tiles[b], first + static_cast<size_t>(b) * shape.bytes + shape.codes);
  }
}

// Where the parts of a block of 32 lie in the file, for types whose codes are in our order already: a byte
// of 4-bit codes holds elements i and i + 16, as JoinNibbles makes it, and 8-bit codes stand in line.
struct RawBlock {
  size_t bytes, codes;
};
RawBlock RawBlockOf(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0: return {18, 2};
    case DType::kQ4_1: return {20, 4};
    case DType::kQ8_0: return {34, 2};
    default: return {0, 0};
  }
}

// A whole panel of such a type, k a multiple of 64: scales are copied and codes transposed.
void PackRawPanel(const PackedMatrix& plan, const RawBlock& raw, const std::byte* rows, size_t row_bytes,
                  std::byte* panel) {
  const IntBlock shape = IntBlockOf(plan);
  const size_t code_bytes = (shape.bytes - shape.codes) / 2;
  const int exponent = -std::ilogb(plan.post_scale);
  for (int64_t half = 0; half < int64_t{plan.k} / kActivationGroup; ++half) {
    const std::byte* in = rows + static_cast<size_t>(half) * raw.bytes;
    std::byte* block = panel + static_cast<size_t>(half / 2) * shape.bytes;
    std::byte* scales = block + static_cast<size_t>(half % 2) * kPanelCols * 2;
    for (size_t col = 0; col < kPanelCols; ++col) {
      CopyHalf(in + col * row_bytes, exponent, scales + col * 2);
      if (!plan.symmetric) {
        CopyHalf(in + col * row_bytes + 2, exponent, scales + shape.mins + col * 2);
      }
    }
    std::byte* codes = block + shape.codes + static_cast<size_t>(half % 2) * code_bytes;
    for (size_t at = 0; at < code_bytes / kPanelCols; at += 16) {
      TransposeWords(in + raw.codes + at, row_bytes, codes + at * kPanelCols);
    }
    if (plan.layout != Layout::kInt8) continue;
    for (size_t i = 0; i < code_bytes; ++i) codes[i] ^= std::byte{0x80};  // int8 + 128
  }
}

// Inputs from `begin` of one column.
void PackFloatColumn(const PackedMatrix& plan, const std::byte* row, int64_t begin, int col,
                     std::byte* panel) {
  const size_t bytes = FloatBytes(plan.layout);
  for (int64_t i = begin; i < plan.k; ++i) {
    std::memcpy(panel + static_cast<size_t>(i * kPanelCols + col) * bytes,
                row + static_cast<size_t>(i) * bytes, bytes);
  }
}

void PackFloats(const PackedMatrix& plan, const std::byte* rows, size_t row_bytes, int cols,
                std::byte* panel) {
  const size_t bytes = FloatBytes(plan.layout);
  const int64_t step = bytes == 4 ? 4 : 8;  // inputs at a time
  int64_t i = 0;
  for (; cols == kPanelCols && i + step <= plan.k; i += step) {
    const std::byte* in = rows + static_cast<size_t>(i) * bytes;
    std::byte* out = panel + static_cast<size_t>(i * kPanelCols) * bytes;
    if (bytes == 4) TransposeWords(in, row_bytes, out);
    else TransposeHalves(in, row_bytes, out);
  }
  for (int col = 0; col < cols; ++col) {
    PackFloatColumn(plan, rows + static_cast<size_t>(col) * row_bytes, i, col, panel);
  }
}

}  // namespace

PackedMatrix PackPlan(DType dtype, int n, int k) {
  PackedMatrix plan{.n = n, .k = k};
  const auto form = tensor::AffineFormOf(dtype);
  if (form) {
    plan.layout = form->bits <= 4 ? Layout::kInt4 : form->bits <= 6 ? Layout::kInt6 : Layout::kInt8;
    plan.symmetric = form->symmetric;
    plan.zero_point = form->zero_point;
    plan.group = form->group;
  } else {
    plan.layout = dtype == DType::kF32   ? Layout::kF32
                  : dtype == DType::kF16 ? Layout::kF16
                                         : Layout::kBF16;
  }
  return plan;
}

uint64_t PackedBytes(const PackedMatrix& plan) {
  return static_cast<uint64_t>(plan.panels()) * PanelBytes(plan);
}

// Scales of K-quants are products of an fp16 and a 6-bit integer; fp16 keeps 11 bits of them, a
// relative error of 2^-12. The power of two puts the largest near 2^13, so that scales down to 2^-27
// of it stay normal numbers and kernels know the range of what they read. Over parts of a matrix the
// largest answer is the matrix's.
float PackScale(DType dtype, const std::byte* rows, int n, int k) {
  const auto form = tensor::AffineFormOf(dtype);
  if (!form) return 1.f;
  const size_t row_bytes = RowOffset(dtype, k);
  float largest = 0;
  if (const int halves = HalvesOf(dtype); halves > 0) {
    largest = tensor::F32FromF16(LargestHalf(tensor::InfoOf(dtype), halves, rows,
                                             row_bytes * static_cast<size_t>(n)));
  }
  for (int r = 0; HalvesOf(dtype) == 0 && r < n; ++r) {
    for (int64_t at = 0; at < k; at += kPiece) {
      const int count = static_cast<int>(std::min<int64_t>(kPiece, k - at));
      Piece piece;
      tensor::AffineScalesOfRow(dtype, rows + static_cast<size_t>(r) * row_bytes + RowOffset(dtype, at),
                                count, piece.scales, piece.mins);
      for (int g = 0; g < count / form->group; ++g) {
        const float scale = std::fabs(piece.scales[g]);
        const float min = form->symmetric ? 0.f : std::fabs(piece.mins[g]);
        if (std::isfinite(scale)) largest = std::max(largest, scale);
        if (std::isfinite(min)) largest = std::max(largest, min);
      }
    }
  }
  return std::ldexp(1.f, largest == 0 ? kExponentMin : std::clamp(std::ilogb(largest) - 13, kExponentMin, 100));
}

void PackPanels(const PackedMatrix& plan, DType dtype, const std::byte* rows, int panel_begin,
                int panel_end, std::byte* dst) {
  const size_t row_bytes = RowOffset(dtype, plan.k);
  const size_t panel_bytes = PanelBytes(plan);
  const RawBlock raw = RawBlockOf(dtype);
  for (int p = panel_begin; p < panel_end; ++p) {
    std::byte* panel = dst + static_cast<size_t>(p) * panel_bytes;
    const int cols = std::min(kPanelCols, plan.n - p * kPanelCols);
    if (cols < kPanelCols || plan.k % kBlockInputs != 0) std::memset(panel, 0, panel_bytes);
    const std::byte* first = rows + static_cast<size_t>(p * kPanelCols) * row_bytes;
    if (raw.bytes > 0 && cols == kPanelCols && plan.k % kBlockInputs == 0) {
      PackRawPanel(plan, raw, first, row_bytes, panel);
      continue;
    }
    if (IsInteger(plan.layout)) {
      for (int64_t at = 0; at < plan.k; at += kPiece) {
        const int count = static_cast<int>(std::min<int64_t>(kPiece, plan.k - at));
        PackIntPiece(plan, dtype, first, row_bytes, cols, at, count, panel);
      }
      continue;
    }
    PackFloats(plan, first, row_bytes, cols, panel);
  }
}

void UnpackRow(const PackedMatrix& w, int row, float* out) {
  DCHECK(row >= 0 && row < w.n, "row outside the matrix");
  const std::byte* panel = w.data + static_cast<size_t>(row / kPanelCols) * PanelBytes(w);
  const int col = row % kPanelCols;
  uint16_t bits = 0;
  if (!IsInteger(w.layout)) {
    for (int64_t i = 0; i < w.k; ++i) {
      const std::byte* at = panel + static_cast<size_t>(i * kPanelCols + col) * FloatBytes(w.layout);
      if (w.layout == Layout::kF32) {
        std::memcpy(&out[i], at, 4);
        continue;
      }
      std::memcpy(&bits, at, 2);
      out[i] = w.layout == Layout::kF16 ? tensor::F32FromF16(bits) : tensor::F32FromBF16(bits);
    }
    return;
  }
  const IntBlock shape = IntBlockOf(w);
  for (int64_t i = 0; i < w.k; ++i) {
    const std::byte* block = panel + static_cast<size_t>(i / kBlockInputs) * shape.bytes;
    const int input = static_cast<int>(i % kBlockInputs);
    const std::byte* scale_at = block + static_cast<size_t>(input / w.group * kPanelCols + col) * 2;
    std::memcpy(&bits, scale_at, 2);
    const float scale = tensor::F32FromF16(bits) * w.post_scale;
    float min = 0;
    if (!w.symmetric) {
      std::memcpy(&bits, scale_at + shape.mins, 2);
      min = tensor::F32FromF16(bits) * w.post_scale;
    }
    const int code = CodeAt(w.layout, block + shape.codes, col, input);
    out[i] = std::fma(scale, static_cast<float>(code - w.zero_point), min);
  }
}

}  // namespace pelton::kernels
