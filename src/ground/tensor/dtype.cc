#include "tensor/dtype.h"

#include <array>
#include <cstddef>

#include "base/assert.h"
#include "base/checked.h"

namespace pelton::tensor {
namespace {

struct Row {
  DTypeInfo info;
  uint32_t gguf_type;
};

// In the order of DType. Block shapes: GGUF specification, section "Tensor types".
constexpr std::array<Row, 13> kTypes = {{
    {{"F32", 1, 4}, 0},
    {{"F16", 1, 2}, 1},
    {{"BF16", 1, 2}, 30},
    {{"Q4_0", 32, 18}, 2},    // f16 d, 16 bytes of nibbles
    {{"Q4_1", 32, 20}, 3},    // f16 d, f16 m, 16 bytes of nibbles
    {{"Q5_0", 32, 22}, 6},    // f16 d, 32 high bits, 16 bytes of nibbles
    {{"Q5_1", 32, 24}, 7},    // f16 d, f16 m, 32 high bits, 16 bytes of nibbles
    {{"Q8_0", 32, 34}, 8},    // f16 d, 32 int8
    {{"Q2_K", 256, 84}, 10},  // 16 scale nibble pairs, 64 bytes of 2-bit codes, f16 d, f16 dmin
    {{"Q3_K", 256, 110}, 11}, // 32 bytes of high bits, 64 of 2-bit codes, 12 of scales, f16 d
    {{"Q4_K", 256, 144}, 12}, // f16 d, f16 dmin, 12 bytes of scales, 128 of nibbles
    {{"Q5_K", 256, 176}, 13}, // f16 d, f16 dmin, 12 bytes of scales, 32 of high bits, 128 nibbles
    {{"Q6_K", 256, 210}, 14}, // 128 bytes of nibbles, 64 of high pairs, 16 int8 scales, f16 d
}};

// By GGUF's type id, withdrawn ones too: old files may still hold them.
constexpr std::array<std::string_view, 42> kGgufNames = {
    "F32",      "F16",      "Q4_0",     "Q4_1",    "Q4_2",       "Q4_3",       "Q5_0",
    "Q5_1",     "Q8_0",     "Q8_1",     "Q2_K",    "Q3_K",       "Q4_K",       "Q5_K",
    "Q6_K",     "Q8_K",     "IQ2_XXS",  "IQ2_XS",  "IQ3_XXS",    "IQ1_S",      "IQ4_NL",
    "IQ3_S",    "IQ2_S",    "IQ4_XS",   "I8",      "I16",        "I32",        "I64",
    "F64",      "IQ1_M",    "BF16",     "Q4_0_4_4", "Q4_0_4_8",  "Q4_0_8_8",   "TQ1_0",
    "TQ2_0",    "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4", "NVFP4",      "Q1_0",
};

}  // namespace

const DTypeInfo& InfoOf(DType type) {
  const auto index = static_cast<size_t>(type);
  CHECK(index < kTypes.size(), "not a DType");
  return kTypes[index].info;
}

std::optional<DType> DTypeFromGguf(uint32_t ggml_type) {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].gguf_type == ggml_type) return static_cast<DType>(i);
  }
  return std::nullopt;
}

uint32_t GgufTypeOf(DType type) {
  const auto index = static_cast<size_t>(type);
  CHECK(index < kTypes.size(), "not a DType");
  return kTypes[index].gguf_type;
}

std::string GgufTypeName(uint32_t ggml_type) {
  if (ggml_type < kGgufNames.size()) return std::string(kGgufNames[ggml_type]);
  return "type " + std::to_string(ggml_type);
}

std::optional<uint64_t> RowBytes(DType type, uint64_t elems) {
  const DTypeInfo& info = InfoOf(type);
  if (elems % info.block_elems != 0) return std::nullopt;
  return CheckedMul<uint64_t>(elems / info.block_elems, info.block_bytes);
}

uint16_t BF16FromF32(float v) {
  const auto bits = std::bit_cast<uint32_t>(v);
  if ((bits & 0x7fffffffU) > 0x7f800000U) {
    return static_cast<uint16_t>((bits >> 16) | 0x40U);  // quiet, so that the payload cannot vanish
  }
  const uint32_t half_up = 0x7fffU + ((bits >> 16) & 1U);
  return static_cast<uint16_t>((bits + half_up) >> 16);
}

float F32FromF16(uint16_t v) {
  const uint32_t sign = static_cast<uint32_t>(v & 0x8000U) << 16;
  const uint32_t exponent = (v >> 10) & 0x1fU;
  const uint32_t fraction = v & 0x3ffU;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000U | (fraction << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;  // exact: 10 bits
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (fraction << 13));
}

uint16_t F16FromF32(float v) {
  const auto bits = std::bit_cast<uint32_t>(v);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<uint16_t>(sign | 0x7e00U);
  if (magnitude >= 0x477ff000U) return static_cast<uint16_t>(sign | 0x7c00U);  // from 65520 up: inf
  if (magnitude < 0x38800000U) {  // below 2^-14: subnormal, steps of 2^-24
    // Adding 0.5 puts the value's 2^-24 bit at the last place of the sum, which rounds to even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000U));
  }
  const uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((rounded - (112U << 23)) >> 13));
}

}  // namespace pelton::tensor
