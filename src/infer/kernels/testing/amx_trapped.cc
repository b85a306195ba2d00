// The bodies of "amx" on vectors of AVX2 and tile instructions that trap. FOR TESTS ONLY.
#include <cstddef>
#include <cstdint>

#include "kernels/numbers.h"
#include "kernels/ref/ref.h"
#include "kernels/testing/avx2_unpack.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/testing/emulated_tables.h"
#include "kernels/tiles.h"
#include "kernels/x86/amx/tile_config.h"
#include "kernels/x86/avx2/table.h"

namespace pelton::kernels {
namespace amx_trapped {

using namespace avx2;   // NOLINT: the vector vocabulary
using namespace tile_ops;  // NOLINT: the tiles' vocabulary

inline constexpr auto* RestOfRows = ref::GemmInt;
inline constexpr auto* OtherKvWrite = avx2::KvWrite;
inline constexpr auto* OtherAttention = avx2::Attention;
inline constexpr auto* OtherAttentionSegment = avx2::AttentionSegment;

#include "kernels/x86/body_codes.inc"

#include "kernels/x86/body_exp.inc"

#include "kernels/x86/body_tiles.inc"

#include "kernels/x86/body_tiles_exact.inc"

#include "kernels/x86/body_tiles_attention.inc"

#include "kernels/testing/emulated_table.inc"

}  // namespace amx_trapped

const KernelTable testing::kTrappedAmxTable = amx_trapped::TableNamed("amx_trapped");
const KernelTable testing::kTrappedAmxInt8Table = amx_trapped::ExactTableNamed("amx_int8_trapped");

}  // namespace pelton::kernels
