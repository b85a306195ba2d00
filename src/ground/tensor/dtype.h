// Element types of weights and caches, their block shapes, and 16-bit float conversions.
// Source of the block layouts: the GGUF specification and its public type table.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace pelton::tensor {

enum class DType : uint8_t {
  kF32, kF16, kBF16,
  kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0,
  kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K,
};

struct DTypeInfo {
  std::string_view name;  // "Q4_K"
  uint32_t block_elems;   // elements a block holds (1 for floats)
  uint32_t block_bytes;   // bytes of one block
};
const DTypeInfo& InfoOf(DType type);

// GGUF's numeric type id → DType; nothing for a type we do not read.
std::optional<DType> DTypeFromGguf(uint32_t ggml_type);
uint32_t GgufTypeOf(DType type);
// The published name of any GGUF type id, readable by us or not ("IQ2_XS"); "type 77" when unknown.
std::string GgufTypeName(uint32_t ggml_type);

// Bytes of a row of `elems`; nothing when elems is not a multiple of the block or on overflow.
std::optional<uint64_t> RowBytes(DType type, uint64_t elems);

// Row of `elems` (a multiple of the block) as fp32, by the definition of the type. The truth that
// every packed layout is tested against.
void DequantizeRow(DType type, const void* row, int64_t elems, float* out);

// The affine form that every quantised GGUF type has: element = scale[g] * code + min[g], with one
// (scale, min) for each `group` consecutive elements and unsigned codes of at most `bits` bits.
// Exact in fp32 up to the rounding of scale*code+min itself.
struct AffineForm {
  int group;  // 16 or 32
  int bits;   // 4, 6 or 8: how wide a code must be stored (Q2/Q3 codes are stored in 4, Q5 in 6)
  bool symmetric;   // min[g] == -zero_point * scale[g] with the fixed zero point below
  int zero_point;   // 0 when not symmetric
};
std::optional<AffineForm> AffineFormOf(DType type);  // nothing for float types

// codes: [elems] bytes; scales, mins: [elems / group].
void UnpackAffineRow(DType type, const void* row, int64_t elems, uint8_t* codes, float* scales,
                     float* mins);

inline float F32FromBF16(uint16_t v) {
  return std::bit_cast<float>(static_cast<uint32_t>(v) << 16);
}
uint16_t BF16FromF32(float v);  // round to nearest even, NaN stays NaN
float F32FromF16(uint16_t v);
uint16_t F16FromF32(float v);   // round to nearest even

}  // namespace pelton::tensor
