// Products on bf16 tiles: what `ref/tiles.cc` defines and x86/amx computes. Private to the room.
//
// x and the dequantised weights are rounded to bf16 (nearest even); k is padded to 64 with zeros. One
// tile step takes 32 inputs in ascending order, as TDPBF16PS does (Intel's manual, its pseudo-code):
//   even = Σ x[2i]·w[2i], odd = Σ x[2i+1]·w[2i+1]   16 fused multiply-adds each, from zero, ascending
//   acc  = acc + (even + odd)
// all in fp32, nearest even, with denormal inputs and results taken as zero. Integer layouts multiply
// the sum by post_scale. Output row i depends on input row i alone, so that a tile of one row gives
// the bits of a tile of sixteen.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"

namespace pelton::kernels {

inline constexpr int kTileInputs = 32;  // one row of a bf16 tile is 64 bytes
inline constexpr int kTileEdge = 16;    // rows of a tile, and its columns of 4 bytes
inline constexpr size_t kTileBytes = 1024;

// Largest finite bf16. What is finite stays finite; infinities and NaN become NaN, which reaches
// every output of the row.
inline constexpr float kBf16Max = 0x1.fep127F;

// Matrices of bf16 with more inputs than this use fp32: their rows are converted on the stack.
inline constexpr int kTileFloatInputsMax = 16384;

// A row of activations: bf16 [k padded to 64], and one line more, so that the 16 rows of a tile never
// fall into the same set of the first-level cache (their distance is an odd number of lines).
inline size_t TileRowBytes(int k) { return static_cast<size_t>(Blocks(k)) * 128 + 64; }

inline bool OnTiles(const PackedMatrix& w) {
  return IsInteger(w.layout) || (w.layout == Layout::kBF16 && w.k <= kTileFloatInputsMax);
}

}  // namespace pelton::kernels
