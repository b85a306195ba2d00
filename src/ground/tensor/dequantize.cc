// The definition of every type, written to be read. Element order and scale packing: GGUF
// specification and the published description of the K-quant super-blocks. All products of a scale
// and a code are exact in fp32 (at most 11 + 7 + 6 significant bits), so the only rounding is that
// of adding a minimum, and fused multiply-adds give the same bits.
#include <cstddef>

#include "base/assert.h"
#include "tensor/dtype.h"

namespace pelton::tensor {
namespace {

float HalfAt(const uint8_t* p) {
  return F32FromF16(static_cast<uint16_t>(p[0] | (p[1] << 8)));
}

uint32_t WordAt(const uint8_t* p) {
  return p[0] | (uint32_t{p[1]} << 8) | (uint32_t{p[2]} << 16) | (uint32_t{p[3]} << 24);
}

void BlockF32(const uint8_t* b, float* out) { out[0] = std::bit_cast<float>(WordAt(b)); }
void BlockF16(const uint8_t* b, float* out) { out[0] = HalfAt(b); }
void BlockBF16(const uint8_t* b, float* out) {
  out[0] = F32FromBF16(static_cast<uint16_t>(b[0] | (b[1] << 8)));
}

void BlockQ4_0(const uint8_t* b, float* out) {
  const float d = HalfAt(b);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((b[2 + i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((b[2 + i] >> 4) - 8);
  }
}

void BlockQ4_1(const uint8_t* b, float* out) {
  const float d = HalfAt(b);
  const float m = HalfAt(b + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(b[4 + i] & 15) + m;
    out[i + 16] = d * static_cast<float>(b[4 + i] >> 4) + m;
  }
}

void BlockQ5_0(const uint8_t* b, float* out) {
  const float d = HalfAt(b);
  const uint32_t high = WordAt(b + 2);
  for (int i = 0; i < 16; ++i) {
    const int low = (b[6 + i] & 15) | static_cast<int>((high >> i & 1) << 4);
    const int up = (b[6 + i] >> 4) | static_cast<int>((high >> (i + 16) & 1) << 4);
    out[i] = d * static_cast<float>(low - 16);
    out[i + 16] = d * static_cast<float>(up - 16);
  }
}

void BlockQ5_1(const uint8_t* b, float* out) {
  const float d = HalfAt(b);
  const float m = HalfAt(b + 2);
  const uint32_t high = WordAt(b + 4);
  for (int i = 0; i < 16; ++i) {
    const int low = (b[8 + i] & 15) | static_cast<int>((high >> i & 1) << 4);
    const int up = (b[8 + i] >> 4) | static_cast<int>((high >> (i + 16) & 1) << 4);
    out[i] = d * static_cast<float>(low) + m;
    out[i + 16] = d * static_cast<float>(up) + m;
  }
}

void BlockQ8_0(const uint8_t* b, float* out) {
  const float d = HalfAt(b);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(b[2 + i]));
}

void BlockQ2_K(const uint8_t* b, float* out) {
  const uint8_t* scales = b;  // low nibble: scale, high nibble: minimum
  const uint8_t* codes = b + 16;
  const float d = HalfAt(b + 80);
  const float dmin = HalfAt(b + 82);
  for (int e = 0; e < 256; ++e) {
    const int code = codes[e / 128 * 32 + e % 32] >> (e % 128 / 32 * 2) & 3;
    const float scale = d * static_cast<float>(scales[e / 16] & 15);
    const float minimum = dmin * static_cast<float>(scales[e / 16] >> 4);
    out[e] = scale * static_cast<float>(code) - minimum;
  }
}

void BlockQ3_K(const uint8_t* b, float* out) {
  const uint8_t* high = b;
  const uint8_t* codes = b + 32;
  const uint8_t* scales = b + 96;  // 16 of 6 bits: 4 low bits in 8 bytes, 2 high bits in 4 bytes
  const float d = HalfAt(b + 108);
  for (int e = 0; e < 256; ++e) {
    const int g = e / 16;
    const int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4;
    const int scale = (low | (scales[8 + g % 4] >> (g / 4 * 2) & 3) << 4) - 32;
    const int code = (codes[e / 128 * 32 + e % 32] >> (e % 128 / 32 * 2) & 3) |
                     (high[e % 32] >> (e / 32) & 1) << 2;
    out[e] = d * static_cast<float>(scale) * static_cast<float>(code - 4);
  }
}

// Scale and minimum, 6 bits each, of group g (0…7) out of the 12 bytes of Q4_K and Q5_K.
struct ScaleMin {
  int scale;
  int minimum;
};
ScaleMin UnpackScaleMin(const uint8_t* s, int g) {
  if (g < 4) return {s[g] & 63, s[g + 4] & 63};
  return {(s[g + 4] & 15) | (s[g - 4] >> 6) << 4, s[g + 4] >> 4 | (s[g] >> 6) << 4};
}

void BlockQ4_K(const uint8_t* b, float* out) {
  const float d = HalfAt(b);
  const float dmin = HalfAt(b + 2);
  const uint8_t* codes = b + 16;
  for (int e = 0; e < 256; ++e) {
    const ScaleMin sm = UnpackScaleMin(b + 4, e / 32);
    const int code = codes[e / 64 * 32 + e % 32] >> (e % 64 / 32 * 4) & 15;
    out[e] = d * static_cast<float>(sm.scale) * static_cast<float>(code) -
             dmin * static_cast<float>(sm.minimum);
  }
}

void BlockQ5_K(const uint8_t* b, float* out) {
  const float d = HalfAt(b);
  const float dmin = HalfAt(b + 2);
  const uint8_t* high = b + 16;
  const uint8_t* codes = b + 48;
  for (int e = 0; e < 256; ++e) {
    const ScaleMin sm = UnpackScaleMin(b + 4, e / 32);
    const int code = (codes[e / 64 * 32 + e % 32] >> (e % 64 / 32 * 4) & 15) |
                     (high[e % 32] >> (e / 32) & 1) << 4;
    out[e] = d * static_cast<float>(sm.scale) * static_cast<float>(code) -
             dmin * static_cast<float>(sm.minimum);
  }
}

void BlockQ6_K(const uint8_t* b, float* out) {
  const uint8_t* low = b;
  const uint8_t* high = b + 128;
  const auto* scales = reinterpret_cast<const int8_t*>(b + 192);
  const float d = HalfAt(b + 208);
  for (int e = 0; e < 256; ++e) {
    const int half = e / 128;
    const int quarter = e % 128 / 32;
    const int nibble = low[half * 64 + e % 64] >> (quarter / 2 * 4) & 15;
    const int code = nibble | (high[half * 32 + e % 32] >> (quarter * 2) & 3) << 4;
    out[e] = d * static_cast<float>(scales[e / 16]) * static_cast<float>(code - 32);
  }
}

template <void (*kBlock)(const uint8_t*, float*)>
void EachBlock(const DTypeInfo& info, const uint8_t* row, int64_t elems, float* out) {
  for (int64_t e = 0; e < elems; e += info.block_elems) {
    kBlock(row, out + e);
    row += info.block_bytes;
  }
}

}  // namespace

void DequantizeRow(DType type, const void* row, int64_t elems, float* out) {
  const DTypeInfo& info = InfoOf(type);
  DCHECK(elems >= 0 && elems % info.block_elems == 0, "a row is whole blocks");
  const auto* in = static_cast<const uint8_t*>(row);
  switch (type) {
    case DType::kF32: return EachBlock<BlockF32>(info, in, elems, out);
    case DType::kF16: return EachBlock<BlockF16>(info, in, elems, out);
    case DType::kBF16: return EachBlock<BlockBF16>(info, in, elems, out);
    case DType::kQ4_0: return EachBlock<BlockQ4_0>(info, in, elems, out);
    case DType::kQ4_1: return EachBlock<BlockQ4_1>(info, in, elems, out);
    case DType::kQ5_0: return EachBlock<BlockQ5_0>(info, in, elems, out);
    case DType::kQ5_1: return EachBlock<BlockQ5_1>(info, in, elems, out);
    case DType::kQ8_0: return EachBlock<BlockQ8_0>(info, in, elems, out);
    case DType::kQ2_K: return EachBlock<BlockQ2_K>(info, in, elems, out);
    case DType::kQ3_K: return EachBlock<BlockQ3_K>(info, in, elems, out);
    case DType::kQ4_K: return EachBlock<BlockQ4_K>(info, in, elems, out);
    case DType::kQ5_K: return EachBlock<BlockQ5_K>(info, in, elems, out);
    case DType::kQ6_K: return EachBlock<BlockQ6_K>(info, in, elems, out);
  }
}

}  // namespace pelton::tensor
