// "amx" and "amx_int8" where there is no AMX: the same bodies (x86/body_tiles*.inc) with vectors of AVX2 and
// tiles that are emulated. FOR TESTS ONLY: they show that the kernels do what they should, never how
// fast; and that the hardware does what Intel's manual says is taken on trust until it is run there.
#pragma once

#include <vector>

#include "base/cpu.h"
#include "kernels/kernels.h"

namespace pelton::kernels::testing {

// Vectors of AVX2, tiles by calls.
extern const KernelTable kEmulatedAmxTable;
extern const KernelTable kEmulatedAmxInt8Table;
// Vectors of AVX2, tiles by the instructions themselves; needs a TileTrap.
extern const KernelTable kTrappedAmxTable;
extern const KernelTable kTrappedAmxInt8Table;

// What this machine can run under a TileTrap. With AVX-512 and no tiles those are the real tables too,
// of which all but the tile instructions is then as it will be.
std::vector<const KernelTable*> EmulatedTables(const CpuFeatures& cpu);

}  // namespace pelton::kernels::testing
