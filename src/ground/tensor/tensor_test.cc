#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "tensor/affine_scales.h"
#include "tensor/dtype.h"
#include "tensor/quantize.h"

namespace pelton::tensor {
namespace {

constexpr std::array kAll = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1,
                             DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,
                             DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

std::vector<uint8_t> FromHex(const std::string& hex) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

// Lines "TYPE hex-of-blocks hex-of-fp32-values", made by tools/golden/dequant.py with an
// implementation of the formats that shares nothing with ours.
TEST(Dequantize, EqualsTheIndependentGoldenValuesBitForBit) {
  std::ifstream file(PELTON_TENSOR_TESTDATA "/dequant.txt");
  ASSERT_TRUE(file.is_open());
  std::string name, blocks_hex, values_hex;
  size_t types_seen = 0;
  while (file >> name >> blocks_hex >> values_hex) {
    const std::vector<uint8_t> blocks = FromHex(blocks_hex);
    const std::vector<uint8_t> values = FromHex(values_hex);
    for (const DType type : kAll) {
      if (InfoOf(type).name != name) continue;
      ++types_seen;
      const auto elems = static_cast<int64_t>(values.size() / 4);
      ASSERT_EQ(RowBytes(type, static_cast<uint64_t>(elems)), blocks.size()) << name;
      std::vector<float> got(values.size() / 4);
      DequantizeRow(type, blocks.data(), elems, got.data());
      for (size_t i = 0; i < got.size(); ++i) {
        float want = 0;
        std::memcpy(&want, values.data() + 4 * i, 4);
        if (std::isnan(want)) {
          EXPECT_TRUE(std::isnan(got[i])) << name << " element " << i;
        } else {
          EXPECT_EQ(got[i], want) << name << " element " << i;
        }
      }
    }
  }
  EXPECT_EQ(types_seen, kAll.size());
}

TEST(Affine, EqualsDequantizeExactlyOnRandomBlocks) {
  Random random(7);
  for (const DType type : kAll) {
    const auto form = AffineFormOf(type);
    if (!form) continue;
    const DTypeInfo& info = InfoOf(type);
    constexpr int kBlocks = 64;
    const int64_t elems = int64_t{kBlocks} * info.block_elems;
    std::vector<uint8_t> row(size_t{kBlocks} * info.block_bytes);
    for (uint8_t& byte : row) byte = static_cast<uint8_t>(random.Next());
    std::vector<float> want(elems), scales(elems / form->group), mins(elems / form->group);
    std::vector<uint8_t> codes(elems);
    DequantizeRow(type, row.data(), elems, want.data());
    UnpackAffineRow(type, row.data(), elems, codes.data(), scales.data(), mins.data());
    if (InfoOf(type).block_elems == 256) {
      std::vector<float> scales_alone(scales.size()), mins_alone(mins.size());
      AffineScalesOfRow(type, row.data(), elems, scales_alone.data(), mins_alone.data());
      EXPECT_EQ(std::memcmp(scales_alone.data(), scales.data(), scales.size() * 4), 0);  // NaN too
      EXPECT_EQ(std::memcmp(mins_alone.data(), mins.data(), mins.size() * 4), 0);
    }
    int64_t finite = 0;
    for (int64_t e = 0; e < elems; ++e) {
      const int64_t g = e / form->group;
      ASSERT_LT(codes[e], 1 << form->bits) << info.name;
      if (form->symmetric && std::isfinite(scales[g])) {
        ASSERT_EQ(mins[g], -static_cast<float>(form->zero_point) * scales[g]) << info.name;
      }
      if (!std::isfinite(want[e])) continue;
      ++finite;
      ASSERT_EQ(scales[g] * static_cast<float>(codes[e]) + mins[g], want[e]) << info.name << e;
    }
    EXPECT_GT(finite, elems / 2) << info.name;
  }
}

TEST(AffineDeathTest, FloatTypesHaveNoCodes) {
  EXPECT_FALSE(AffineFormOf(DType::kBF16));
  EXPECT_DEATH(UnpackAffineRow(DType::kF32, nullptr, 0, nullptr, nullptr, nullptr), "no codes");
}

// Largest error a type may make on numbers of [-1, 1]: half a step of 2 / (2^bits - 1) with a
// minimum, a whole step of 2 / 2^bits without one (the positive end is one code short), and a
// little for the rounding of the scales themselves.
TEST(Quantize, StaysWithinTheStepOfEveryType) {
  const std::array<float, kAll.size()> error_max = {0,       5e-4F, 4e-3F, 0.126F, 0.068F, 0.064F,
                                                    0.033F,  4.1e-3F, 0.4F, 0.26F, 0.07F, 0.04F,
                                                    0.034F};
  Random random(3);
  std::vector<float> in(2048);
  for (float& v : in) v = static_cast<float>(random.Uniform() * 2 - 1);
  std::fill(in.begin(), in.begin() + 256, 0.0F);
  std::fill(in.begin() + 256, in.begin() + 512, 0.5F);
  for (size_t t = 0; t < kAll.size(); ++t) {
    std::vector<uint8_t> row(*RowBytes(kAll[t], in.size()));
    std::vector<float> back(in.size());
    QuantizeRow(kAll[t], in.data(), static_cast<int64_t>(in.size()), row.data());
    DequantizeRow(kAll[t], row.data(), static_cast<int64_t>(in.size()), back.data());
    float worst = 0;
    for (size_t i = 0; i < in.size(); ++i) worst = std::max(worst, std::fabs(back[i] - in[i]));
    EXPECT_LE(worst, error_max[t]) << InfoOf(kAll[t]).name;
    EXPECT_GE(worst, error_max[t] / 4) << InfoOf(kAll[t]).name << ": the bound is too loose";
    for (size_t i = 0; i < 256; ++i) ASSERT_EQ(back[i], 0.0F) << InfoOf(kAll[t]).name;
  }
}

TEST(DType, GgufIdsGoBothWaysAndUnreadableTypesHaveNames) {
  for (const DType type : kAll) {
    EXPECT_EQ(DTypeFromGguf(GgufTypeOf(type)), type);
    EXPECT_EQ(GgufTypeName(GgufTypeOf(type)), InfoOf(type).name);
  }
  for (const uint32_t id : {4u, 9u, 15u, 16u, 24u, 28u, 39u, 41u, 42u, 77u, ~0u}) {
    EXPECT_FALSE(DTypeFromGguf(id)) << id;
  }
  EXPECT_EQ(GgufTypeName(17), "IQ2_XS");
  EXPECT_EQ(GgufTypeName(39), "MXFP4");
  EXPECT_EQ(GgufTypeName(41), "Q1_0");
  EXPECT_EQ(GgufTypeName(42), "type 42");
  EXPECT_EQ(GgufTypeName(77), "type 77");
  EXPECT_EQ(GgufTypeName(~0u), "type 4294967295");
}

TEST(RowBytes, RefusesPartBlocksAndOverflow) {
  EXPECT_EQ(RowBytes(DType::kQ4_K, 512), 288u);
  EXPECT_FALSE(RowBytes(DType::kQ4_K, 511));
  EXPECT_FALSE(RowBytes(DType::kQ4_K, 32));
  EXPECT_EQ(RowBytes(DType::kQ8_0, 0), 0u);
  EXPECT_EQ(RowBytes(DType::kF32, uint64_t{1} << 61), uint64_t{1} << 63);
  EXPECT_FALSE(RowBytes(DType::kF32, uint64_t{1} << 62));
}

TEST(Half, EveryFiniteValueGoesThereAndBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F32FromF16(static_cast<uint16_t>(bits));
    const uint16_t back = F16FromF32(value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(F32FromF16(back))) << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

// The compiler's own conversion is the reference; every fp32 exponent with fractions around the
// rounding borders, both signs.
TEST(Half, RoundsToNearestEvenLikeTheCompiler) {
  Random random(11);
  for (uint32_t exponent = 0; exponent < 256; ++exponent) {
    for (int i = 0; i < 4000; ++i) {
      uint32_t fraction = static_cast<uint32_t>(random.Next()) & 0x7fffff;
      if (i % 4 == 1) fraction = (fraction & ~0x1fffu) | 0x1000;
      if (i % 4 == 2) fraction = (fraction & ~0x1fffu) | 0xfff;
      if (i % 4 == 3) fraction = (fraction & ~0x1fffu) | 0x1001;
      const uint32_t sign = random.Next() & 1 ? 0x80000000u : 0u;
      const float value = std::bit_cast<float>(sign | exponent << 23 | fraction);
      if (std::isnan(value)) continue;
      const auto reference = static_cast<_Float16>(value);
      ASSERT_EQ(F16FromF32(value), std::bit_cast<uint16_t>(reference)) << std::hexfloat << value;
    }
  }
  EXPECT_EQ(F16FromF32(65519.99F), 0x7bff);
  EXPECT_EQ(F16FromF32(65520.0F), 0x7c00);
  EXPECT_TRUE(std::isnan(F32FromF16(F16FromF32(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(BF16, RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(BF16FromF32(1.0F), 0x3f80);
  EXPECT_EQ(BF16FromF32(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie, even below
  EXPECT_EQ(BF16FromF32(std::bit_cast<float>(0x3f818000u)), 0x3f82);  // tie, even above
  EXPECT_EQ(BF16FromF32(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(BF16FromF32(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(F32FromBF16(BF16FromF32(std::bit_cast<float>(0x7f800001u)))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F32FromBF16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(BF16FromF32(value), bits);
  }
}

}  // namespace
}  // namespace pelton::tensor
