// Constants that define results: every table computes with exactly these, in the order that `ref`
// spells out, so that all tables give the same bits. Private to the room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace pelton::kernels {

// Lanes of every long fp32 sum: element i belongs to lane i mod 16; lanes fold 8, 4, 2, 1.
inline constexpr int kLanes = 16;

// ---- Activations as 16-bit integers -------------------------------------------------------------
// Largest magnitude of 256·hi + lo with hi in [-127, 127] and lo in [-128, 127] on both sides.
inline constexpr float kQuantMax = 32639.f;  // 127 · 256 + 127
// Groups whose largest magnitude is below this count as zero: kQuantMax / amax must not overflow.
inline constexpr float kQuantTiny = 0x1p-100f;
// Sums fit: |Σ code·a| ≤ 32 · 255 · 32767 < 2^29, and Σ over halves of planes stays below that.

// ---- exp(x) -------------------------------------------------------------------------------------
// x = n·ln2 + r, |r| ≤ ln2/2; e^r by a polynomial of degree 6 (Taylor's coefficients, the last two
// moved by less than 1e-4 relative to spread the error); exp(0) is exactly 1. Relative error below
// 2e-7. Below kExpLow the result is exactly 0, above kExpHigh it stays at exp(kExpHigh).
inline constexpr float kExpLow = -87.0f;   // 2^n stays a normal number (n ≥ -126)
inline constexpr float kExpHigh = 88.0f;
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2High = 0.693145751953125f;     // ln2 in 16 bits: n·kLn2High is exact
inline constexpr float kLn2Low = 1.42860682030941723e-6f; // ln2 - kLn2High
inline constexpr float kRoundMagic = 12582912.f;          // 1.5 · 2^23: adding it rounds to integer
inline constexpr float kExp6 = 1.f / 720.f;
inline constexpr float kExp5 = 1.f / 120.f;
inline constexpr float kExp4 = 1.f / 24.f;
inline constexpr float kExp3 = 1.f / 6.f;
inline constexpr float kExp2 = 0.5f;

// gelu(x) = x / (1 + exp(-2·sqrt(2/π)·(x + 0.044715·x³))), the tanh form rewritten.
inline constexpr float kGeluCubic = 0.044715f;
inline constexpr float kGeluMinus2Root = -1.59576912160573071f;  // -2·sqrt(2/π)

// ---- Attention ----------------------------------------------------------------------------------
// Online softmax advances over absolute chunks of this many positions.
inline constexpr int kAttentionChunk = 64;
// It begins anew at absolute positions that are multiples of this; the segments join in ascending
// order (ref::Join). So a row with a long context can be split over threads without changing a bit.
static_assert(kAttentionSegment % kAttentionChunk == 0);
inline constexpr float kScoreFloor = -1e30f;  // running maximum before anything was seen
inline constexpr int kHeadDimMax = 512;
inline constexpr float kF16Max = 65504.f;

}  // namespace pelton::kernels
