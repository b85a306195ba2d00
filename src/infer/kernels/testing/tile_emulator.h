// Tiles for machines that have none. FOR TESTS ONLY: results are those of Intel's manual (its
// pseudo-code, with denormals as zero), not of any hardware.
//
// Two ways in: the functions (called_tiles.h), and TileTrap, under which the instructions themselves
// run: the CPU refuses them with SIGILL, and the handler decodes their bytes and goes on behind them.
// Whatever the manual calls a fault (an operand that does not fit the configuration, a tile that is
// not configured, an illegal configuration) ends the process with a message, as the CPU would.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>

#include "kernels/x86/amx/tile_config.h"

namespace pelton::kernels::testing {

// The calling thread's tiles.
struct TileState {
  TileConfig config;
  alignas(64) uint8_t data[8][16][64];
};
TileState& ThreadTiles();

// Products of two tiles: C += A · B.
enum class TileDotKind : uint8_t { kBf16, kSS, kSU, kUS, kUU };  // int8: A, B signed or unsigned

void EmulateConfigure(const void* config);  // ldtilecfg
void EmulateStoreConfig(void* config);      // sttilecfg
void EmulateRelease();
void EmulateZero(int tile);
void EmulateLoad(int tile, const std::byte* from, int64_t stride);
void EmulateStore(int tile, std::byte* to, int64_t stride);
void EmulateDot(TileDotKind kind, int c, int a, int b);

// While one lives, tile instructions of the whole process are emulated. Not on a machine that has
// tiles and lets us use them: there they would not trap.
class TileTrap {
 public:
  TileTrap();
  ~TileTrap();
  TileTrap(const TileTrap&) = delete;
  TileTrap& operator=(const TileTrap&) = delete;

  // Instructions emulated since the process began.
  static uint64_t count();

 private:
  struct sigaction before_ = {};
};

}  // namespace pelton::kernels::testing
