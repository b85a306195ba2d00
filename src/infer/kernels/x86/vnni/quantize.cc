// Activations → two int8 planes (PlaneGroup), as ref::QuantizeRows. About 40 cycles for 32 inputs,
// bound by the horizontal sums; but the inputs were often written by another core, and the lines
// written here were read by all of them in the last product. Each would be fetched in turn (30 to 70
// ns a group, measured), so a row's lines are all asked for, to be written, before they are needed.
#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "kernels/x86/avx512/vec.h"
#include "kernels/x86/vnni/table.h"

namespace pelton::kernels::vnni {
namespace {

using namespace avx512;  // NOLINT: the vector vocabulary

PELTON_VEC void StorePlanes(I a, int8_t* hi, int8_t* lo) {
  const I high = _mm512_srai_epi32(_mm512_add_epi32(a, _mm512_set1_epi32(128)), 8);
  const I low = _mm512_sub_epi32(a, _mm512_slli_epi32(high, 8));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(hi), _mm512_cvtepi32_epi8(high));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lo), _mm512_cvtepi32_epi8(low));
}

PELTON_VEC void QuantizeGroup(F low, F high, PlaneGroup* out) {
  const uint32_t bits = LargestMagnitude(low, high);
  float amax;
  __builtin_memcpy(&amax, &bits, 4);
  const bool finite = bits < 0x7f800000U;
  const bool counts = finite && amax >= kQuantTiny;
  I a = ZeroI();
  I b = ZeroI();
  if (counts) {
    const F factor = Set(kQuantMax / amax);
    a = RoundToInt(Mul(low, factor));
    b = RoundToInt(Mul(high, factor));
  }
  StorePlanes(a, out->hi, out->lo);
  StorePlanes(b, out->hi + kLanes, out->lo + kLanes);
  const float d = finite ? (counts ? amax / kQuantMax : 0.f) : __builtin_nanf("");
  const int32_t first = SumOf(a);
  const int32_t second = SumOf(b);
  out->d = d;
  out->sum_half[0] = first;
  out->sum_half[1] = second;
  out->sum = first + second;
  out->dsum_half[0] = d * static_cast<float>(first);
  out->dsum_half[1] = d * static_cast<float>(second);
  out->dsum = d * static_cast<float>(first + second);
  out->reserved = 0;
}

// Asks for the lines of one input row, and for those of its output row in order to write them.
__attribute__((target("prfchw"))) void Summon(const float* x, int k, const std::byte* out,
                                              size_t bytes) {
  for (int i = 0; i < k; i += 16) __builtin_prefetch(x + i, 0);
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(out + at, 1);
}

}  // namespace

size_t QuantizedRowBytes(int k) { return static_cast<size_t>(Blocks(k)) * 2 * sizeof(PlaneGroup); }

PELTON_TARGET void QuantizeRows(const float* x, int64_t ldx, int m, int k, std::byte* out) {
  const int groups = Blocks(k) * 2;
  const size_t row_bytes = QuantizedRowBytes(k);
  if (m > 0) Summon(x, k, out, row_bytes);
  for (int r = 0; r < m; ++r) {
    std::byte* row_out = out + static_cast<size_t>(r) * row_bytes;
    auto* row = reinterpret_cast<PlaneGroup*>(row_out);
    const float* input = x + r * ldx;
    if (r + 1 < m) Summon(input + ldx, k, row_out + row_bytes, row_bytes);
    int g = 0;
    for (; (g + 1) * 32 <= k; ++g) {
      QuantizeGroup(Load(input + g * 32), Load(input + g * 32 + kLanes), row + g);
    }
    for (; g < groups; ++g) {
      const int left = k - g * 32;
      const F low = left > 0 ? LoadFirst(input + g * 32, left < kLanes ? left : kLanes) : Zero();
      const F high = left > kLanes ? LoadFirst(input + g * 32 + kLanes, left - kLanes) : Zero();
      QuantizeGroup(low, high, row + g);
    }
  }
}

}  // namespace pelton::kernels::vnni
