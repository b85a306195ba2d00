// The kernel table for this machine, or the one that PELTON_FORCE_ISA names.
#pragma once

#include "base/status.h"
#include "kernels/kernels.h"

namespace pelton::app {

// INVALID_ARGUMENT lists the usable tables when the forced one is unknown or not usable.
Result<const kernels::KernelTable*> ChooseKernels();

}  // namespace pelton::app
