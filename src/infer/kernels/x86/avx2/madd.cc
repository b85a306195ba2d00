#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "kernels/x86/avx2/table.h"
#include "kernels/x86/avx2/vec.h"

namespace pelton::kernels::avx2 {

#include "kernels/x86/body_codes.inc"
#include "kernels/x86/body_madd.inc"

}  // namespace pelton::kernels::avx2
