// The tile instructions. In our own assembly, not the compiler's intrinsics: g++ 12's say neither
// that ldtilecfg reads 64 bytes nor that loads and stores of tiles touch memory, so that stores may
// move behind them. The operand of TileConfigure is the whole structure, and the others carry a
// "memory" clobber.
#pragma once

#include <cstddef>

#include "kernels/x86/amx/tile_config.h"

#define PELTON_TILE_OP __attribute__((always_inline)) inline

namespace pelton::kernels::tile_ops {

PELTON_TILE_OP void TileConfigure(const TileConfig& config) {
  asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
}
// Back to the initial state: the system then has no 8 KiB of tiles to save for this thread.
PELTON_TILE_OP void TileRelease() { asm volatile("tilerelease" : : : "memory"); }

template <int kTile>
PELTON_TILE_OP void TileZero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Rows `stride` bytes apart.
template <int kTile>
PELTON_TILE_OP void TileLoad(const void* from, size_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(from), "r"(stride) : "memory");
}
template <int kTile>
PELTON_TILE_OP void TileStore(void* to, size_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kTile), "r"(to), "r"(stride) : "memory");
}
// C += A · B, bf16 pairs.
template <int kC, int kA, int kB>
PELTON_TILE_OP void TileDot() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
}
// C += A · B, signed bytes of A by unsigned bytes of B, in fours.
template <int kC, int kA, int kB>
PELTON_TILE_OP void TileDotBytes() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
}

}  // namespace pelton::kernels::tile_ops
