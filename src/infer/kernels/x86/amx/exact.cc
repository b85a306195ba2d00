#include <cstddef>
#include <cstdint>

#include "kernels/tiles.h"
#include "kernels/x86/amx/table.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/x86/amx/vec.h"
#include "kernels/x86/vnni/table.h"

namespace pelton::kernels::amx {

using namespace tile_ops;  // NOLINT: the tiles' vocabulary

inline constexpr auto* RestOfRows = vnni::GemmInt;

#include "kernels/x86/body_codes.inc"
#include "kernels/x86/body_tiles_exact.inc"

}  // namespace pelton::kernels::amx
