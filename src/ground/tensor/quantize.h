// fp32 → blocks of any type we read. Plain round-to-nearest with the extreme values of each group
// kept, no search and no importance: for tests, random-weight models and simple conversions.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace pelton::tensor {

// in: [elems], finite, elems a multiple of the block. out: RowBytes(type, elems) bytes. Pure.
void QuantizeRow(DType type, const float* in, int64_t elems, void* out);

}  // namespace pelton::tensor
