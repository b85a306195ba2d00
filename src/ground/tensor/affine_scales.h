// The scales and minima of a row alone, for choosing how they are kept before the codes are touched.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace pelton::tensor {

// What UnpackAffineRow gives as scales and mins, for the K types (blocks of 256).
void AffineScalesOfRow(DType type, const void* row, int64_t elems, float* scales, float* mins);

}  // namespace pelton::tensor
