// Attention of few queries over the KV blocks of "amx" without tiles: whoever uses tiles slows the
// whole core down for a while, which one stream's attention is not worth.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "kernels/tiles.h"
#include "kernels/x86/amx/table.h"
#include "kernels/x86/avx512/table.h"
#include "kernels/x86/avx512/vec.h"

namespace pelton::kernels::amx {
namespace pairs {

using namespace avx512;  // NOLINT: the vector vocabulary

// One of the two bf16 of each lane.
PELTON_VEC F Half(const std::byte* at, int odd) {
  const __m128i bits = _mm_cvtsi32_si128(odd == 0 ? 16 : 0);
  const I raw = _mm512_sll_epi32(_mm512_loadu_si512(at), bits);
  return _mm512_castsi512_ps(_mm512_and_si512(raw, _mm512_set1_epi32(static_cast<int>(0xffff0000U))));
}
// tiles.h: TileKeyIndex, TileValueIndex; head_dim is a multiple of 32.
PELTON_VEC F LoadKey(const std::byte* keys, int d) { return Half(keys + d / 2 * 64, d % 2); }
PELTON_VEC F LoadValue(const std::byte* values, int slot, int head_dim, int d, int) {
  return Half(values + (static_cast<size_t>(slot / 2) * head_dim + d) * 4, slot % 2);
}

#include "kernels/x86/body_exp.inc"
#include "kernels/x86/body_attention.inc"

}  // namespace pairs

void FewAttention(const AttentionArgs& args) {
  (HeadsOnTiles(args.head_dim) ? pairs::Attention : avx512::Attention)(args);
}

void FewAttentionSegment(const AttentionArgs& args, int segment, float* parts) {
  (HeadsOnTiles(args.head_dim) ? pairs::AttentionSegment : avx512::AttentionSegment)(args, segment, parts);
}

}  // namespace pelton::kernels::amx
