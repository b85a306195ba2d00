// Products on bf16 tiles: what `ref/tiles.cc` defines and x86/amx computes. Private to the room.
//
// x · 2^64 is rounded to bf16 (nearest even). A weight of an integer layout is computed in fp16,
//   4 bits:  w = half((code - zero_point) · 2^-5 · scale [+ min · 2^-5])   one rounding
//   6 and 8: w = half(code · s + a), s = half(scale · 2^-8), a = half(-zero_point · s) or half(min · 2^-8)
// with scales and minima that are no finite numbers as zero, and its bits shifted to where bf16 has
// them, rounded to nearest, ties away from zero: bf16 of w · 2^-112, for fp16 has a smaller bias. The
// factor 2^64 keeps products far from denormals; SumFactor takes all of them back. bf16 weights are
// taken as they are.
//
// k is padded to 64 with zeros. One tile step takes 32 inputs, the two inner ones of each four
// exchanged (0 2 1 3, 4 6 5 7, …: so unpacking is a shift), as TDPBF16PS does (Intel's manual, its
// pseudo-code): in that order
//   even = Σ x[2i]·w[2i], odd = Σ x[2i+1]·w[2i+1]   16 fused multiply-adds each, from zero, ascending
//   acc  = acc + (even + odd)
// all in fp32, nearest even, with denormal inputs and results taken as zero. Output row i depends on
// input row i alone, so that a tile with one row that counts gives the bits of sixteen.
//
// Attention, for heads of a multiple of 32 dimensions (others are `ref`'s): queries, keys and values
// rounded to bf16; scores are tile steps over the dimensions, ascending; a row takes the maximum of all
// it sees in an absolute run of kTileRun positions, weights are exp(score - maximum), summed in fp32 by
// position mod 16, ascending, and rounded to bf16 for the values; those are tile steps over absolute
// runs of 32 positions, where what a row does not see counts as zero. Runs join to segments and segments
// to the whole, as in `ref`.
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

// The input at place i of a step; its own inverse.
inline int TileInputAt(int i) { return (i & ~3) | (i & 1) << 1 | (i >> 1 & 1); }

inline constexpr float kActivationFactor = 0x1p64F;
inline constexpr float kInt4Factor = 0x1p-5F;
inline constexpr float kInt8Factor = 0x1p-8F;

// fp16 bits of code · 2^-5, for codes of -16 … 15.
inline uint16_t Int4CodeAsHalf(int code) {
  if (code == 0) return 0;
  const auto magnitude = static_cast<unsigned>(code < 0 ? -code : code);
  unsigned log = 0;
  while (magnitude >> (log + 1) != 0) ++log;
  return static_cast<uint16_t>((code < 0 ? 0x8000U : 0U) | (10 + log) << 10 |
                               ((magnitude << (10 - log)) & 0x3ffU));
}

// A row of activations: bf16 [k padded to 64], and one line more, so that the 16 rows of a tile never
// fall into the same set of the first-level cache (their distance is an odd number of lines).
inline size_t TileRowBytes(int k) { return static_cast<size_t>(Blocks(k)) * 128 + 64; }

inline constexpr int kTileRun = 512;  // positions
static_assert(kAttentionSegment % kTileRun == 0);
inline bool HeadsOnTiles(int head_dim) { return head_dim % kTileInputs == 0; }
// Where a KV block keeps dimension d of slot s, in numbers of 2 bytes from the head's keys (values):
// keys bf16 [head_dim / 2][16 slots][2], 32 dimensions a ready tile; values bf16 [8][head_dim][2 slots].
inline int64_t TileKeyIndex(int d, int s) {
  return static_cast<int64_t>(d / 2) * 2 * kKvBlockTokens + 2 * s + d % 2;
}
inline int64_t TileValueIndex(int d, int s, int head_dim) {
  return (static_cast<int64_t>(s / 2) * head_dim + d) * 2 + s % 2;
}

inline bool OnTiles(const PackedMatrix& w) {
  return IsInteger(w.layout) || w.layout == Layout::kBF16;
}

// What a sum of products is multiplied by. The powers of two of weights and activations, less those
// that post_scale (2^-100 … 2^100) has anyway.
inline float SumFactor(const PackedMatrix& w) {
  if (w.layout == Layout::kBF16) return 1.F / kActivationFactor;
  return 0x1p48F / (w.layout == Layout::kInt4 ? kInt4Factor : kInt8Factor) * w.post_scale;
}

}  // namespace pelton::kernels
