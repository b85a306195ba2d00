#include "tensor/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/assert.h"

namespace pelton::tensor {
namespace {

void PutHalf(uint8_t* p, float v) {
  const uint16_t bits = F16FromF32(v);
  std::memcpy(p, &bits, sizeof(bits));
}
// The scale as the reader will see it: codes are chosen against this one, not the exact one.
float Rounded(float v) { return F32FromF16(F16FromF32(v)); }

float Inverse(float v) { return v == 0.0F ? 0.0F : 1.0F / v; }

uint8_t Code(float v, int max) {
  return static_cast<uint8_t>(std::clamp(std::nearbyint(v), 0.0F, static_cast<float>(max)));
}

// The element of largest magnitude, with its sign.
float SignedMax(const float* in, int n) {
  float best = 0.0F;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(in[i]) > std::fabs(best)) best = in[i];
  }
  return best;
}

void PackNibbles(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
  }
}

void PackFifthBits(const uint8_t* codes, uint8_t* out) {
  std::memset(out, 0, 4);
  for (int i = 0; i < 32; ++i) {
    out[i / 8] = static_cast<uint8_t>(out[i / 8] | (codes[i] >> 4 & 1) << (i % 8));
  }
}

// Q4_0 and Q5_0: the extreme value becomes the code with the larger reach, 0.
void Symmetric32(const float* in, int zero_point, uint8_t* out) {
  const float d = Rounded(SignedMax(in, 32) / static_cast<float>(-zero_point));
  const float inverse = Inverse(d);
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i) {
    codes[i] = Code(in[i] * inverse + static_cast<float>(zero_point), 2 * zero_point - 1);
  }
  PutHalf(out, d);
  if (zero_point == 16) PackFifthBits(codes, out + 2);
  PackNibbles(codes, out + (zero_point == 16 ? 6 : 2));
}

// Q4_1 and Q5_1.
void Affine32(const float* in, int code_max, uint8_t* out) {
  const auto [low, high] = std::minmax_element(in, in + 32);
  const float m = Rounded(*low);
  const float d = Rounded((*high - m) / static_cast<float>(code_max));
  const float inverse = Inverse(d);
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i) codes[i] = Code((in[i] - m) * inverse, code_max);
  PutHalf(out, d);
  PutHalf(out + 2, m);
  if (code_max == 31) PackFifthBits(codes, out + 4);
  PackNibbles(codes, out + (code_max == 31 ? 8 : 4));
}

void Q8_0(const float* in, uint8_t* out) {
  const float d = Rounded(std::fabs(SignedMax(in, 32)) / 127.0F);
  const float inverse = Inverse(d);
  PutHalf(out, d);
  for (int i = 0; i < 32; ++i) {
    out[2 + i] = static_cast<uint8_t>(Code(in[i] * inverse + 128.0F, 255) ^ 0x80);
  }
}

// Scales and minima of a super-block, themselves quantised to `levels`: for Q2_K, Q4_K and Q5_K.
struct SuperBlock {
  float d, dmin;
  uint8_t scale[16], minimum[16];
};
SuperBlock AffineSuper(const float* in, int group, int code_max, int levels, uint8_t* codes) {
  SuperBlock sb{};
  const int groups = 256 / group;
  float scales[16], minima[16];
  for (int g = 0; g < groups; ++g) {
    const auto [low, high] = std::minmax_element(in + g * group, in + (g + 1) * group);
    minima[g] = std::max(0.0F, -*low);  // the format can only subtract
    scales[g] = (std::max(0.0F, *high) + minima[g]) / static_cast<float>(code_max);
  }
  sb.d = Rounded(*std::max_element(scales, scales + groups) / static_cast<float>(levels));
  sb.dmin = Rounded(*std::max_element(minima, minima + groups) / static_cast<float>(levels));
  for (int g = 0; g < groups; ++g) {
    sb.scale[g] = Code(scales[g] * Inverse(sb.d), levels);
    sb.minimum[g] = Code(minima[g] * Inverse(sb.dmin), levels);
    const float inverse = Inverse(sb.d * static_cast<float>(sb.scale[g]));
    const float shift = sb.dmin * static_cast<float>(sb.minimum[g]);
    for (int i = g * group; i < (g + 1) * group; ++i) {
      codes[i] = Code((in[i] + shift) * inverse, code_max);
    }
  }
  return sb;
}

// The same for Q3_K and Q6_K, whose scales are signed and whose codes have a fixed zero point.
// Returns d; scales[16] are in [-levels, levels-1].
float SymmetricSuper(const float* in, int zero_point, int levels, int* scales, uint8_t* codes) {
  float wanted[16];
  for (int g = 0; g < 16; ++g) {
    wanted[g] = SignedMax(in + g * 16, 16) / static_cast<float>(-zero_point);
  }
  const float d = Rounded(SignedMax(wanted, 16) / static_cast<float>(-levels));
  for (int g = 0; g < 16; ++g) {
    scales[g] = static_cast<int>(Code(wanted[g] * Inverse(d) + static_cast<float>(levels),
                                      2 * levels - 1)) - levels;
    const float inverse = Inverse(d * static_cast<float>(scales[g]));
    for (int i = g * 16; i < (g + 1) * 16; ++i) {
      codes[i] = Code(in[i] * inverse + static_cast<float>(zero_point), 2 * zero_point - 1);
    }
  }
  return d;
}

void PackPairs(const uint8_t* codes, uint8_t* out) {
  std::memset(out, 0, 64);
  for (int e = 0; e < 256; ++e) {
    uint8_t& byte = out[e / 128 * 32 + e % 32];
    byte = static_cast<uint8_t>(byte | (codes[e] & 3) << (e % 128 / 32 * 2));
  }
}

void PackLongNibbles(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 128; ++i) {
    const int e = i / 32 * 64 + i % 32;
    out[i] = static_cast<uint8_t>((codes[e] & 15) | (codes[e + 32] & 15) << 4);
  }
}

// Bit `bit` of every code, 8 runs of 32 elements, one run in each bit of 32 bytes.
void PackHighBits(const uint8_t* codes, int bit, uint8_t* out) {
  std::memset(out, 0, 32);
  for (int e = 0; e < 256; ++e) {
    out[e % 32] = static_cast<uint8_t>(out[e % 32] | (codes[e] >> bit & 1) << (e / 32));
  }
}

void PackScalesAndMins(const SuperBlock& sb, uint8_t* s) {
  for (int g = 0; g < 4; ++g) {
    s[g] = static_cast<uint8_t>(sb.scale[g] | (sb.scale[g + 4] >> 4) << 6);
    s[g + 4] = static_cast<uint8_t>(sb.minimum[g] | (sb.minimum[g + 4] >> 4) << 6);
    s[g + 8] = static_cast<uint8_t>((sb.scale[g + 4] & 15) | (sb.minimum[g + 4] & 15) << 4);
  }
}

void Q2_K(const float* in, uint8_t* out) {
  uint8_t codes[256];
  const SuperBlock sb = AffineSuper(in, 16, 3, 15, codes);
  for (int g = 0; g < 16; ++g) {
    out[g] = static_cast<uint8_t>(sb.scale[g] | sb.minimum[g] << 4);
  }
  PackPairs(codes, out + 16);
  PutHalf(out + 80, sb.d);
  PutHalf(out + 82, sb.dmin);
}

void Q3_K(const float* in, uint8_t* out) {
  uint8_t codes[256];
  int scales[16];
  const float d = SymmetricSuper(in, 4, 32, scales, codes);
  PackHighBits(codes, 2, out);
  PackPairs(codes, out + 32);
  std::memset(out + 96, 0, 12);
  for (int g = 0; g < 16; ++g) {
    const int six = scales[g] + 32;
    uint8_t& low = out[96 + g % 8];
    uint8_t& high = out[104 + g % 4];
    low = static_cast<uint8_t>(low | (six & 15) << (g / 8 * 4));
    high = static_cast<uint8_t>(high | (six >> 4) << (g / 4 * 2));
  }
  PutHalf(out + 108, d);
}

void Q4_K(const float* in, uint8_t* out) {
  uint8_t codes[256];
  const SuperBlock sb = AffineSuper(in, 32, 15, 63, codes);
  PutHalf(out, sb.d);
  PutHalf(out + 2, sb.dmin);
  PackScalesAndMins(sb, out + 4);
  PackLongNibbles(codes, out + 16);
}

void Q5_K(const float* in, uint8_t* out) {
  uint8_t codes[256];
  const SuperBlock sb = AffineSuper(in, 32, 31, 63, codes);
  PutHalf(out, sb.d);
  PutHalf(out + 2, sb.dmin);
  PackScalesAndMins(sb, out + 4);
  PackHighBits(codes, 4, out + 16);
  PackLongNibbles(codes, out + 48);
}

void Q6_K(const float* in, uint8_t* out) {
  uint8_t codes[256];
  int scales[16];
  const float d = SymmetricSuper(in, 32, 128, scales, codes);
  std::memset(out, 0, 192);
  for (int e = 0; e < 256; ++e) {
    const int half = e / 128;
    const int quarter = e % 128 / 32;
    uint8_t& low = out[half * 64 + e % 64];
    uint8_t& high = out[128 + half * 32 + e % 32];
    low = static_cast<uint8_t>(low | (codes[e] & 15) << (quarter / 2 * 4));
    high = static_cast<uint8_t>(high | (codes[e] >> 4) << (quarter * 2));
  }
  for (int g = 0; g < 16; ++g) out[192 + g] = static_cast<uint8_t>(scales[g]);
  PutHalf(out + 208, d);
}

void Block(DType type, const float* in, uint8_t* out) {
  switch (type) {
    case DType::kF32: std::memcpy(out, in, sizeof(float)); return;
    case DType::kF16: return PutHalf(out, in[0]);
    case DType::kBF16: {
      const uint16_t bits = BF16FromF32(in[0]);
      std::memcpy(out, &bits, sizeof(bits));
      return;
    }
    case DType::kQ4_0: return Symmetric32(in, 8, out);
    case DType::kQ4_1: return Affine32(in, 15, out);
    case DType::kQ5_0: return Symmetric32(in, 16, out);
    case DType::kQ5_1: return Affine32(in, 31, out);
    case DType::kQ8_0: return Q8_0(in, out);
    case DType::kQ2_K: return Q2_K(in, out);
    case DType::kQ3_K: return Q3_K(in, out);
    case DType::kQ4_K: return Q4_K(in, out);
    case DType::kQ5_K: return Q5_K(in, out);
    case DType::kQ6_K: return Q6_K(in, out);
  }
}

}  // namespace

void QuantizeRow(DType type, const float* in, int64_t elems, void* out) {
  const DTypeInfo& info = InfoOf(type);
  DCHECK(elems >= 0 && elems % info.block_elems == 0, "a row is whole blocks");
  auto* bytes = static_cast<uint8_t*>(out);
  for (int64_t e = 0; e < elems; e += info.block_elems) {
    Block(type, in + e, bytes);
    bytes += info.block_bytes;
  }
}

}  // namespace pelton::tensor
