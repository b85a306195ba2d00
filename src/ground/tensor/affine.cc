// Codes, scales and minima of every quantised type, block by block. Written for speed of loading
// (it runs once over every weight), apart from dequantize.cc so that the two check each other.
#include <cstddef>

#include "base/assert.h"
#include "tensor/affine_scales.h"
#include "tensor/dtype.h"

namespace pelton::tensor {
namespace {

float HalfAt(const uint8_t* p) {
  return F32FromF16(static_cast<uint16_t>(p[0] | (p[1] << 8)));
}

// One block: codes[block_elems], scales and mins [block_elems / group]. Super-blocks leave the codes
// alone where `codes` is null.
struct Block {
  const uint8_t* in;
  uint8_t* codes;
  float* scales;
  float* mins;
};

// 16 bytes of nibbles: low ones are elements 0…15, high ones 16…31.
void Nibbles(const uint8_t* in, uint8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = in[i] & 15;
    codes[i + 16] = static_cast<uint8_t>(in[i] >> 4);
  }
}

// Bit i of the four bytes becomes bit 4 of code i.
void AddFifthBits(const uint8_t* in, uint8_t* codes) {
  for (int i = 0; i < 32; ++i) {
    codes[i] = static_cast<uint8_t>(codes[i] | (in[i / 8] >> (i % 8) & 1) << 4);
  }
}

void Q4_0(const Block& b) {
  b.scales[0] = HalfAt(b.in);
  b.mins[0] = -8.0F * b.scales[0];
  Nibbles(b.in + 2, b.codes);
}

void Q4_1(const Block& b) {
  b.scales[0] = HalfAt(b.in);
  b.mins[0] = HalfAt(b.in + 2);
  Nibbles(b.in + 4, b.codes);
}

void Q5_0(const Block& b) {
  b.scales[0] = HalfAt(b.in);
  b.mins[0] = -16.0F * b.scales[0];
  Nibbles(b.in + 6, b.codes);
  AddFifthBits(b.in + 2, b.codes);
}

void Q5_1(const Block& b) {
  b.scales[0] = HalfAt(b.in);
  b.mins[0] = HalfAt(b.in + 2);
  Nibbles(b.in + 8, b.codes);
  AddFifthBits(b.in + 4, b.codes);
}

void Q8_0(const Block& b) {
  b.scales[0] = HalfAt(b.in);
  b.mins[0] = -128.0F * b.scales[0];
  for (int i = 0; i < 32; ++i) b.codes[i] = b.in[2 + i] ^ 0x80;  // int8 + 128
}

// 64 bytes of 2-bit codes: each 32 bytes hold 128 elements, one 32-element run in each bit pair.
void Pairs(const uint8_t* in, uint8_t* codes) {
  for (int run = 0; run < 8; ++run) {
    for (int i = 0; i < 32; ++i) {
      codes[run * 32 + i] = in[run / 4 * 32 + i] >> (run % 4 * 2) & 3;
    }
  }
}

void Q2_K(const Block& b) {
  const float d = HalfAt(b.in + 80);
  const float dmin = HalfAt(b.in + 82);
  for (int g = 0; g < 16; ++g) {
    b.scales[g] = d * static_cast<float>(b.in[g] & 15);
    b.mins[g] = -(dmin * static_cast<float>(b.in[g] >> 4));
  }
  if (b.codes == nullptr) return;
  Pairs(b.in + 16, b.codes);
}

void Q3_K(const Block& b) {
  const float d = HalfAt(b.in + 108);
  const uint8_t* packed = b.in + 96;
  for (int i = 0; i < 4; ++i) {  // byte i of each third feeds groups i, i+4, i+8, i+12
    const int top = packed[8 + i];
    const int six[4] = {(packed[i] & 15) | (top & 3) << 4,
                        (packed[4 + i] & 15) | (top >> 2 & 3) << 4,
                        packed[i] >> 4 | (top >> 4 & 3) << 4,
                        packed[4 + i] >> 4 | (top >> 6 & 3) << 4};
    for (int k = 0; k < 4; ++k) {
      b.scales[i + 4 * k] = d * static_cast<float>(six[k] - 32);
      b.mins[i + 4 * k] = -4.0F * b.scales[i + 4 * k];
    }
  }
  if (b.codes == nullptr) return;
  Pairs(b.in + 32, b.codes);
  for (int run = 0; run < 8; ++run) {
    for (int i = 0; i < 32; ++i) {
      uint8_t& code = b.codes[run * 32 + i];
      code = static_cast<uint8_t>(code | (b.in[i] >> run & 1) << 2);
    }
  }
}

// The 12 bytes of eight 6-bit (scale, minimum) pairs that Q4_K and Q5_K share.
void ScalesAndMins(const Block& b) {
  const float d = HalfAt(b.in);
  const float dmin = HalfAt(b.in + 2);
  const uint8_t* s = b.in + 4;
  for (int g = 0; g < 4; ++g) {
    b.scales[g] = d * static_cast<float>(s[g] & 63);
    b.mins[g] = -(dmin * static_cast<float>(s[g + 4] & 63));
    b.scales[g + 4] = d * static_cast<float>((s[g + 8] & 15) | (s[g] >> 6) << 4);
    b.mins[g + 4] = -(dmin * static_cast<float>(s[g + 8] >> 4 | (s[g + 4] >> 6) << 4));
  }
}

// 128 bytes of nibbles: each 32 bytes hold 64 elements, low nibbles first.
void LongNibbles(const uint8_t* in, uint8_t* codes) {
  for (int run = 0; run < 4; ++run) {
    for (int i = 0; i < 32; ++i) {
      codes[run * 64 + i] = in[run * 32 + i] & 15;
      codes[run * 64 + 32 + i] = static_cast<uint8_t>(in[run * 32 + i] >> 4);
    }
  }
}

void Q4_K(const Block& b) {
  ScalesAndMins(b);
  if (b.codes == nullptr) return;
  LongNibbles(b.in + 16, b.codes);
}

void Q5_K(const Block& b) {
  ScalesAndMins(b);
  if (b.codes == nullptr) return;
  LongNibbles(b.in + 48, b.codes);
  for (int run = 0; run < 8; ++run) {
    for (int i = 0; i < 32; ++i) {
      uint8_t& code = b.codes[run * 32 + i];
      code = static_cast<uint8_t>(code | (b.in[16 + i] >> run & 1) << 4);
    }
  }
}

void Q6_K(const Block& b) {
  const float d = HalfAt(b.in + 208);
  for (int g = 0; g < 16; ++g) {
    b.scales[g] = d * static_cast<float>(static_cast<int8_t>(b.in[192 + g]));
    b.mins[g] = -32.0F * b.scales[g];
  }
  if (b.codes == nullptr) return;
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = b.in + half * 64;
    const uint8_t* high = b.in + 128 + half * 32;
    uint8_t* codes = b.codes + half * 128;
    for (int i = 0; i < 32; ++i) {
      codes[i] = static_cast<uint8_t>((low[i] & 15) | (high[i] & 3) << 4);
      codes[i + 32] = static_cast<uint8_t>((low[i + 32] & 15) | (high[i] >> 2 & 3) << 4);
      codes[i + 64] = static_cast<uint8_t>(low[i] >> 4 | (high[i] >> 4 & 3) << 4);
      codes[i + 96] = static_cast<uint8_t>(low[i + 32] >> 4 | (high[i] >> 6) << 4);
    }
  }
}

using BlockFn = void (*)(const Block&);

BlockFn BlockFnOf(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: return nullptr;
    case DType::kQ4_0: return Q4_0;
    case DType::kQ4_1: return Q4_1;
    case DType::kQ5_0: return Q5_0;
    case DType::kQ5_1: return Q5_1;
    case DType::kQ8_0: return Q8_0;
    case DType::kQ2_K: return Q2_K;
    case DType::kQ3_K: return Q3_K;
    case DType::kQ4_K: return Q4_K;
    case DType::kQ5_K: return Q5_K;
    case DType::kQ6_K: return Q6_K;
  }
  return nullptr;
}

}  // namespace

std::optional<AffineForm> AffineFormOf(DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: return std::nullopt;
    case DType::kQ4_0: return AffineForm{32, 4, true, 8};
    case DType::kQ4_1: return AffineForm{32, 4, false, 0};
    case DType::kQ5_0: return AffineForm{32, 6, true, 16};
    case DType::kQ5_1: return AffineForm{32, 6, false, 0};
    case DType::kQ8_0: return AffineForm{32, 8, true, 128};
    case DType::kQ2_K: return AffineForm{16, 4, false, 0};
    case DType::kQ3_K: return AffineForm{16, 4, true, 4};
    case DType::kQ4_K: return AffineForm{32, 4, false, 0};
    case DType::kQ5_K: return AffineForm{32, 6, false, 0};
    case DType::kQ6_K: return AffineForm{16, 6, true, 32};
  }
  return std::nullopt;
}

void UnpackAffineRow(DType type, const void* row, int64_t elems, uint8_t* codes, float* scales,
                     float* mins) {
  const std::optional<AffineForm> form = AffineFormOf(type);
  const BlockFn unpack = BlockFnOf(type);
  CHECK(form.has_value() && unpack != nullptr, "a float type has no codes");
  const DTypeInfo& info = InfoOf(type);
  DCHECK(elems >= 0 && elems % info.block_elems == 0, "a row is whole blocks");
  const auto* in = static_cast<const uint8_t*>(row);
  for (int64_t e = 0; e < elems; e += info.block_elems) {
    const int64_t group = e / form->group;
    unpack({in, codes + e, scales + group, mins + group});
    in += info.block_bytes;
  }
}

void AffineScalesOfRow(DType type, const void* row, int64_t elems, float* scales, float* mins) {
  const DTypeInfo& info = InfoOf(type);
  const BlockFn unpack = BlockFnOf(type);
  CHECK(unpack != nullptr && info.block_elems == 256, "only super-blocks have scales apart");
  const auto* in = static_cast<const uint8_t*>(row);
  const int group = AffineFormOf(type)->group;
  for (int64_t e = 0; e < elems; e += info.block_elems, in += info.block_bytes) {
    unpack({in, nullptr, scales + e / group, mins + e / group});
  }
}

}  // namespace pelton::tensor
