#include <cstddef>
#include <cstdint>

#include "kernels/numbers.h"
#include "kernels/tiles.h"
#include "kernels/x86/amx/table.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/x86/amx/vec.h"
#include "kernels/x86/avx512/table.h"

namespace pelton::kernels::amx {

using namespace tile_ops;  // NOLINT: the tiles' vocabulary

inline constexpr auto* OtherKvWrite = avx512::KvWrite;
inline constexpr auto* OtherAttention = avx512::Attention;
inline constexpr auto* OtherAttentionSegment = avx512::AttentionSegment;

#include "kernels/x86/body_exp.inc"
#include "kernels/x86/body_tiles_attention.inc"

}  // namespace pelton::kernels::amx
