// The vocabulary of x86/amx/tile_ops.h as calls of the emulator: the same bodies without a trap for
// each instruction. FOR TESTS ONLY.
#pragma once

#include "kernels/testing/tile_emulator.h"

namespace pelton::kernels::testing::called_tiles {

inline void TileConfigure(const TileConfig& config) { EmulateConfigure(&config); }
inline void TileRelease() { EmulateRelease(); }
template <int kTile>
void TileZero() {
  EmulateZero(kTile);
}
template <int kTile>
void TileLoad(const void* from, size_t stride) {
  EmulateLoad(kTile, static_cast<const std::byte*>(from), static_cast<int64_t>(stride));
}
template <int kTile>
void TileStore(void* to, size_t stride) {
  EmulateStore(kTile, static_cast<std::byte*>(to), static_cast<int64_t>(stride));
}
template <int kC, int kA, int kB>
void TileDot() {
  EmulateDot(TileDotKind::kBf16, kC, kA, kB);
}
template <int kC, int kA, int kB>
void TileDotBytes() {
  EmulateDot(TileDotKind::kSU, kC, kA, kB);
}

}  // namespace pelton::kernels::testing::called_tiles
