// A product small enough for every start, before the tiles are trusted: the table was written on a
// machine without them.
#pragma once

#include "kernels/kernels.h"

namespace pelton::kernels {

enum class Agreement {
  kBits,    // the bits of the table's definition
  kClose,   // within the rounding of fp32 sums: this CPU adds in another order
  kWrong,   // further off, or a row's bits depend on the rows beside it
};

// Products of `table` with 4- and 8-bit matrices of odd shapes, for 1 to 67 rows, against its
// definition and against the same rows alone.
Agreement CompareWithDefinition(const KernelTable& table);

// Whether `table` may be used. Anything but kBits is logged.
bool ChecksOut(const KernelTable& table);

}  // namespace pelton::kernels
