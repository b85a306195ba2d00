#include <cstddef>
#include <cstdint>

#include "kernels/numbers.h"
#include "kernels/tiles.h"
#include "kernels/x86/amx/table.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/x86/amx/vec.h"

namespace pelton::kernels::amx {

using namespace tile_ops;  // NOLINT: the tiles' vocabulary

#include "kernels/x86/body_codes.inc"
#include "kernels/x86/body_exp.inc"
#include "kernels/x86/body_tiles.inc"

}  // namespace pelton::kernels::amx
