// Where things lie inside packed weights and KV blocks (docs/formats/packed.md). Private to the room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace pelton::kernels {

inline constexpr int kBlockInputs = 64;  // inputs of one block of a panel

// One block of an integer panel: 16 outputs × 64 inputs, in this order, each part a multiple of 64
// bytes: scales fp16 [64 / group][16], mins the same (when not symmetric), codes.
//
// Codes come in quads: quad q holds inputs 4q … 4q+3 of all 16 outputs as bytes [output][input].
//   kInt8: 16 quads in ascending order, 64 bytes each.
//   kInt4: for each 32 inputs (quads 8h … 8h+7) four vectors of 64 bytes; vector j has quad 8h+j in
//          the low nibbles and quad 8h+j+4 in the high nibbles.
//   kInt6: for each 32 inputs the low four bits so, then two vectors of high bits; vector j has those of
//          quad 8h+4j+i in bits 2i and 2i+1.
struct IntBlock {
  int groups;         // 64 / group
  size_t mins;        // offset of mins; scales lie at 0
  size_t codes;       // offset of the codes
  size_t bytes;       // of the whole block
};

// Bytes of the codes of 32 inputs.
constexpr size_t CodeBytes32(Layout layout) {
  return layout == Layout::kInt4 ? 256 : layout == Layout::kInt6 ? 384 : 512;
}

inline IntBlock IntBlockOf(const PackedMatrix& w) {
  const int groups = kBlockInputs / w.group;
  const size_t scale_bytes = static_cast<size_t>(groups) * kPanelCols * 2;
  const size_t codes = w.symmetric ? scale_bytes : 2 * scale_bytes;
  return {.groups = groups, .mins = scale_bytes, .codes = codes, .bytes = codes + 2 * CodeBytes32(w.layout)};
}

// Code of output `col`, input `i` (0…63) of a block's codes.
inline int CodeAt(Layout layout, const std::byte* codes, int col, int i) {
  const int quad = i / 4;
  if (layout == Layout::kInt8) return static_cast<int>(codes[quad * 64 + col * 4 + i % 4]);
  const std::byte* half = codes + static_cast<size_t>(quad / 8) * CodeBytes32(layout) + col * 4 + i % 4;
  const int both = static_cast<int>(half[quad % 4 * 64]);
  const int low = quad % 8 < 4 ? both & 15 : both >> 4;
  if (layout == Layout::kInt4) return low;
  const int high = static_cast<int>(half[256 + quad % 8 / 4 * 64]) >> quad % 4 * 2 & 3;
  return high << 4 | low;
}

inline int Blocks(int k) { return static_cast<int>((static_cast<int64_t>(k) + 63) / kBlockInputs); }

inline bool IsInteger(Layout layout) {
  return layout == Layout::kInt4 || layout == Layout::kInt6 || layout == Layout::kInt8;
}
// Place of an integer layout in tables of functions.
inline int IntegerIndex(Layout layout) {
  return layout == Layout::kInt4 ? 0 : layout == Layout::kInt6 ? 1 : 2;
}
inline bool IsIntegerMatrix(const PackedMatrix& w) { return IsInteger(w.layout); }

inline size_t FloatBytes(Layout layout) { return layout == Layout::kF32 ? 4 : 2; }

// Bytes of one panel: integer blocks, or for floats [k padded to 64][16].
inline size_t PanelBytes(const PackedMatrix& w) {
  const size_t blocks = static_cast<size_t>(Blocks(w.k));
  if (IsInteger(w.layout)) return blocks * IntBlockOf(w).bytes;
  return blocks * kBlockInputs * kPanelCols * FloatBytes(w.layout);
}

// How far ahead of what few rows read of a matrix its bytes are asked for: into the first-level cache, and
// into the second. The hardware's own prefetching ends with a page and starts late behind it. Measured on
// Granite Rapids, one row: from memory 29.6 GB/s by 2 threads (all there is) where it was 23; with 8 KiB
// instead of 4 it is 28. What lies in L3, in matrices that end soon, wants 8 KiB: another 15 %.
inline constexpr size_t kNearBytes = 1024;
inline size_t FarBytes(const PackedMatrix& w) {
  const size_t bytes = static_cast<size_t>(w.panels()) * PanelBytes(w);
  return bytes < (size_t{2} << 20) ? 8192 : 4096;
}

// A KV block of one layer: per kv head keys fp16 [head_dim][16 positions], then values fp16
// [16 positions][head_dim]. Keys are transposed so that 16 scores grow at once without horizontal
// sums.
inline size_t KvHeadBytes(int head_dim) {
  return static_cast<size_t>(head_dim) * kKvBlockTokens * 2 * 2;
}
inline size_t KvValuesOffset(int head_dim) { return KvHeadBytes(head_dim) / 2; }

// Activations as two planes, read by `ref` and the VNNI tables: for each 32 inputs.
struct alignas(32) PlaneGroup {
  int8_t hi[32];
  int8_t lo[32];
  float d;              // value = d · (256·hi + lo)
  int32_t sum_half[2];  // Σ of the integers, inputs 0…15 and 16…31
  int32_t sum;          // of both halves
  float dsum_half[2];   // d · sum_half, each rounded once
  float dsum;           // d · sum
  int32_t reserved;
};
static_assert(sizeof(PlaneGroup) == 96);

}  // namespace pelton::kernels
