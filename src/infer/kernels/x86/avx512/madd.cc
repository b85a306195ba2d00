#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "kernels/x86/avx512/table.h"
#include "kernels/x86/avx512/vec.h"

namespace pelton::kernels::avx512 {

#include "kernels/x86/body_codes.inc"
#include "kernels/x86/body_madd.inc"

}  // namespace pelton::kernels::avx512
