#include "format/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "format/gguf_limits.h"
#include "format/gguf_writer.h"

namespace pelton::format {
namespace {

// Files by hand, field by field, so that each can be wrong on its own.
class Raw {
 public:
  template <typename T>
  Raw& N(T v) {
    bytes_.append(reinterpret_cast<const char*>(&v), sizeof(v));
    return *this;
  }
  Raw& U32(uint32_t v) { return N(v); }
  Raw& U64(uint64_t v) { return N(v); }
  Raw& Str(std::string_view s) { return U64(s.size()).Text(s); }
  Raw& Text(std::string_view s) { bytes_.append(s); return *this; }
  Raw& Head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return Text("GGUF").U32(version).U64(tensors).U64(keys);
  }
  Raw& Tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    Str(name).U32(static_cast<uint32_t>(dims.size()));
    for (const uint64_t d : dims) U64(d);
    return U32(type).U64(offset);
  }
  Raw& Pad(size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Raw& Zeros(size_t n) { bytes_.resize(bytes_.size() + n); return *this; }

  Result<GgufContents> Parse() const { return ParseGguf(std::as_bytes(std::span(bytes_))); }
  std::string Error() const {
    const auto got = Parse();
    return got.ok() ? "" : got.status().message();
  }

 private:
  std::string bytes_;
};

constexpr uint32_t kU32 = 4, kStringType = 8, kArrayType = 9;

TEST(Gguf, ReadsVersionsTwoAndThreeAndNamesTheOthers) {
  EXPECT_TRUE(Raw().Head(0, 0, 2).Parse().ok());
  EXPECT_TRUE(Raw().Head(0, 0, 3).Parse().ok());
  EXPECT_EQ(Raw().Head(0, 0, 1).Error(), "is GGUF version 1; Pelton reads versions 2 and 3");
  EXPECT_EQ(Raw().Head(0, 0, 4).Error(), "is GGUF version 4; Pelton reads versions 2 and 3");
  EXPECT_EQ(Raw().Head(0, 0, 0).Error(), "is GGUF version 0; Pelton reads versions 2 and 3");
  EXPECT_EQ(Raw().Head(0, 0, 0x03000000).Error(),
            "is a big-endian GGUF file; Pelton reads little-endian ones");
  EXPECT_EQ(Raw().Head(0, 0, 0x03000000).Parse().status().code(), StatusCode::kUnimplemented);
}

TEST(Gguf, SaysWhatAnotherKindOfFileIs) {
  EXPECT_EQ(Raw().Error(), "is too short to be a GGUF file");
  EXPECT_EQ(Raw().Text("version https://git-lfs").Error(),
            "is a Git LFS pointer, not the model itself");
  EXPECT_EQ(Raw().Text("<!DOCTYPE html>").Error(), "is a web page, not a model");
  EXPECT_NE(Raw().Text("PK\3\4....").Error().find("zip archive"), std::string::npos);
  EXPECT_NE(Raw().Text("tjgg....").Error().find("before GGUF"), std::string::npos);
  EXPECT_NE(Raw().Text("\x7f" "ELF").Error().find("not a GGUF file"), std::string::npos);
}

TEST(Gguf, ReadsEveryScalarTypeOfTheSpecification) {
  const auto got = Raw().Head(0, 11)
      .Str("u8").U32(0).N<uint8_t>(255).Str("i8").U32(1).N<int8_t>(-128)
      .Str("u16").U32(2).N<uint16_t>(65535).Str("i16").U32(3).N<int16_t>(-32768)
      .Str("u32").U32(4).N<uint32_t>(~0u).Str("i32").U32(5).N<int32_t>(-5)
      .Str("f32").U32(6).N<float>(0.5F).Str("t").U32(7).N<uint8_t>(1)
      .Str("u64").U32(10).N<uint64_t>(~0ULL).Str("i64").U32(11).N<int64_t>(-6)
      .Str("f64").U32(12).N<double>(1e300).Parse();
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  const Metadata& m = got->metadata;
  EXPECT_EQ(m.Uint("u8").value(), 255u);
  EXPECT_EQ(std::get<int64_t>(*m.Find("i8")), -128);
  EXPECT_EQ(m.Uint("u16").value(), 65535u);
  EXPECT_EQ(std::get<int64_t>(*m.Find("i16")), -32768);
  EXPECT_EQ(m.Uint("u32").value(), ~0u);
  EXPECT_EQ(std::get<int64_t>(*m.Find("i32")), -5);
  EXPECT_EQ(m.Float("f32").value(), 0.5);
  EXPECT_TRUE(m.Bool("t").value());
  EXPECT_EQ(m.Uint("u64").value(), ~0ULL);
  EXPECT_EQ(std::get<int64_t>(*m.Find("i64")), -6);
  EXPECT_EQ(m.Float("f64").value(), 1e300);
}

TEST(Gguf, ReadsArraysOfEveryScalarType) {
  const auto got = Raw().Head(0, 5)
      .Str("u8").U32(kArrayType).U32(0).U64(2).N<uint8_t>(1).N<uint8_t>(255)
      .Str("i16").U32(kArrayType).U32(3).U64(1).N<int16_t>(-7)
      .Str("u64").U32(kArrayType).U32(10).U64(1).U64(uint64_t(std::numeric_limits<int64_t>::max()))
      .Str("f64").U32(kArrayType).U32(12).U64(1).N<double>(2.5)
      .Str("t").U32(kArrayType).U32(7).U64(2).N<uint8_t>(0).N<uint8_t>(1).Parse();
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(got->metadata.Ints("u8").value()[1], 255);
  EXPECT_EQ(got->metadata.Ints("i16").value()[0], -7);
  EXPECT_EQ(got->metadata.Ints("u64").value()[0], std::numeric_limits<int64_t>::max());
  EXPECT_EQ(got->metadata.Floats("f64").value()[0], 2.5);
  EXPECT_NE(Raw().Head(0, 1).Str("u64").U32(kArrayType).U32(10).U64(1).U64(uint64_t{1} << 63)
                .Error().find("too large"), std::string::npos);
}

TEST(Gguf, RefusesValuesThatTheSpecificationDoesNotHave) {
  EXPECT_EQ(Raw().Head(0, 1).Str("k").U32(13).U64(0).Error(),
            "key k has the unknown value type 13");
  EXPECT_EQ(Raw().Head(0, 1).Str("k").U32(7).N<uint8_t>(2).Error(),
            "key k is a truth value of 2, not 0 or 1");
  EXPECT_EQ(Raw().Head(0, 1).Str("k").U32(kArrayType).U32(kArrayType).U64(1).Zeros(20).Error(),
            "key k is an array of arrays, which is not read");
  EXPECT_EQ(Raw().Head(0, 1).Str("k").U32(kArrayType).U32(99).U64(0).Error(),
            "key k is an array of the unknown value type 99");
  EXPECT_EQ(Raw().Head(0, 1).Str("k").U32(kArrayType).U32(7).U64(1).N<uint8_t>(3).Error(),
            "key k holds a truth value that is not 0 or 1");
}

TEST(Gguf, RefusesKeysAndNamesTwiceEmptyOrUnprintable) {
  EXPECT_EQ(Raw().Head(0, 2).Str("k").U32(kU32).U32(1).Str("k").U32(kU32).U32(2).Error(),
            "key k occurs twice");
  EXPECT_EQ(Raw().Head(0, 1).Str("").U32(kU32).U32(1).Zeros(9).Error(),
            "metadata key number 1 ('') is empty");
  EXPECT_EQ(Raw().Head(0, 1).Str("a\nb").U32(kU32).U32(1).Error(),
            "metadata key number 1 ('a\\x0ab') is not printable text");
  EXPECT_EQ(
      Raw().Head(2, 0).Tensor("t", {8}, 0, 0).Tensor("t", {8}, 0, 32).Pad(32).Zeros(64).Error(),
      "tensor t occurs twice");
  EXPECT_EQ(Raw().Head(1, 0).Tensor("", {8}, 0, 0).Pad(32).Zeros(32).Error(),
            "the name of tensor number 1 ('') is empty");
}

TEST(Gguf, BoundsHoldOnBothSides) {
  EXPECT_NE(Raw().Head(kGgufTensorsMax + 1, 0).Error().find("at most 65536"), std::string::npos);
  EXPECT_NE(Raw().Head(kGgufTensorsMax, 0).Error().find("65536 tensors in 24 bytes"),
            std::string::npos);
  EXPECT_NE(Raw().Head(0, kGgufKeysMax + 1).Error().find("at most 8192"), std::string::npos);
  EXPECT_NE(Raw().Head(0, kGgufKeysMax).Error().find("in 24 bytes"), std::string::npos);

  EXPECT_TRUE(
      Raw().Head(0, 1).Str(std::string(kGgufKeyBytesMax, 'k')).U32(kU32).U32(1).Parse().ok());
  EXPECT_NE(Raw()
                .Head(0, 1)
                .Str(std::string(kGgufKeyBytesMax + 1, 'k'))
                .U32(kU32)
                .U32(1)
                .Error()
                .find("longer than 65535"),
            std::string::npos);
  const auto tensor_named = [](size_t length) {
    return Raw().Head(1, 0).Tensor(std::string(length, 't'), {8}, 0, 0).Pad(32).Zeros(32).Error();
  };
  EXPECT_EQ(tensor_named(kGgufTensorNameBytesMax), "");
  EXPECT_NE(tensor_named(kGgufTensorNameBytesMax + 1).find("longer than 256"), std::string::npos);

  EXPECT_TRUE(Raw()
                  .Head(0, 1)
                  .Str("k")
                  .U32(kStringType)
                  .Str(std::string(kGgufStringBytesMax, 's'))
                  .Parse()
                  .ok());
  EXPECT_NE(Raw()
                .Head(0, 1)
                .Str("k")
                .U32(kStringType)
                .Str(std::string(kGgufStringBytesMax + 1, 's'))
                .Error()
                .find("more than 16777216"),
            std::string::npos);
  const auto elements = [](uint64_t first, uint64_t second) {
    return Raw().Head(0, 2).Str("a").U32(kArrayType).U32(0).U64(first).Zeros(first)
        .Str("b").U32(kArrayType).U32(0).U64(second).Zeros(second).Error();
  };
  EXPECT_EQ(elements(kGgufArrayElementsMax - 1, 1), "");
  EXPECT_NE(elements(kGgufArrayElementsMax - 1, 2).find("key b claims 2 elements"),
            std::string::npos);
}

TEST(Gguf, AlignmentIsAPowerOfTwoWithinBounds) {
  const auto aligned = [](uint64_t alignment) {
    return Raw().Head(1, 1).Str("general.alignment").U32(10).U64(alignment)
        .Tensor("t", {8}, 0, 0).Pad(65536).Zeros(32).Error();
  };
  EXPECT_EQ(aligned(8), "");
  EXPECT_EQ(aligned(32), "");
  EXPECT_EQ(aligned(65536), "");
  for (const uint64_t bad :
       {uint64_t{0}, uint64_t{1}, uint64_t{4}, uint64_t{24}, uint64_t{131072}, ~uint64_t{0}}) {
    EXPECT_NE(aligned(bad).find("key general.alignment is"), std::string::npos) << bad;
  }
  EXPECT_NE(Raw()
                .Head(0, 1)
                .Str("general.alignment")
                .U32(kStringType)
                .Str("32")
                .Error()
                .find("is a string"),
            std::string::npos);
}

TEST(Gguf, RefusesTypesByNameAndSaysWhatToDo) {
  const std::string error =
      Raw().Head(1, 0).Tensor("blk.0.ffn_up.weight", {256}, 17, 0).Pad(32).Zeros(74).Error();
  EXPECT_NE(
      error.find(
          "tensor blk.0.ffn_up.weight has type IQ2_XS, which Pelton does not read; re-quantise"),
      std::string::npos)
      << error;
  EXPECT_NE(Raw().Head(1, 0).Tensor("t", {8}, 1234, 0).Pad(32).Zeros(64).Error().find("type 1234"),
            std::string::npos);
}

TEST(Gguf, ShapesAreCheckedDimensionByDimension) {
  const auto shaped = [](std::vector<uint64_t> dims, uint32_t type = 0, size_t data = 128) {
    return Raw().Head(1, 0).Tensor("t", dims, type, 0).Pad(32).Zeros(data).Error();
  };
  EXPECT_EQ(shaped({8}), "");
  EXPECT_EQ(shaped({2, 2, 2, 4}), "");
  EXPECT_EQ(shaped({2, 2, 2, 2, 2}), "tensor t has 5 dimensions; 1 to 4 are read");
  EXPECT_EQ(shaped({}), "tensor t has 0 dimensions; 1 to 4 are read");
  EXPECT_EQ(shaped({8, 0}), "tensor t has the impossible size 0 in dimension 1");
  EXPECT_NE(shaped({uint64_t{1} << 63}).find("impossible size"), std::string::npos);
  EXPECT_NE(shaped({uint64_t{1} << 32, uint64_t{1} << 31}).find("impossible size"),
            std::string::npos);
  EXPECT_NE(shaped({uint64_t{1} << 62}).find("over 2^64"), std::string::npos);
  EXPECT_NE(shaped({uint64_t{1} << 61}).find("ends behind the end"), std::string::npos);
  EXPECT_EQ(shaped({32}), "");
  EXPECT_NE(shaped({33}).find("132 bytes, the data section has 128"), std::string::npos);
  EXPECT_EQ(shaped({32, 7}, 2), "");
  EXPECT_EQ(shaped({16, 14}, 2),
            "tensor t has rows of 16 elements, which is not whole blocks of 32 (Q4_0)");
}

TEST(Gguf, ShapesAreOutermostFirst) {
  const auto got = Raw().Head(1, 0).Tensor("t", {32, 3, 2}, 0, 0).Pad(32).Zeros(768).Parse();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->tensors[0].shape, (std::vector<int64_t>{2, 3, 32}));
}

TEST(Gguf, TensorsLieAlignedApartAndInsideTheFile) {
  const auto two = [](uint64_t first, uint64_t second, size_t data) {
    return Raw()
        .Head(2, 0)
        .Tensor("a", {16}, 0, first)
        .Tensor("b", {8}, 0, second)
        .Pad(32)
        .Zeros(data)
        .Error();
  };
  EXPECT_EQ(two(0, 64, 96), "");
  EXPECT_EQ(two(32, 0, 96), "");
  EXPECT_EQ(two(0, 32, 96), "tensors a and b overlap");
  EXPECT_EQ(two(32, 32, 96), "tensors a and b overlap");
  EXPECT_NE(two(0, 64, 95).find("tensor b ends behind the end"), std::string::npos);
  EXPECT_NE(two(0, 96, 96).find("tensor b ends behind the end"), std::string::npos);
  EXPECT_NE(two(0, ~uint64_t{0} - 31, 96).find("tensor b ends behind the end"), std::string::npos);
  EXPECT_EQ(two(0, 65, 128), "tensor b begins at 65, which is not a multiple of the alignment 32");
}

TEST(Gguf, TheFileMayEndAfterTheHeaderOnlyWithoutTensors) {
  EXPECT_TRUE(Raw().Head(0, 1).Str("k").U32(kU32).U32(1).Parse().ok());
  EXPECT_EQ(Raw().Head(1, 0).Tensor("t", {8}, 0, 0).Error(),
            "the file ends inside the padding before the data");
}

TEST(ShownName, IsOneShortPrintableLine) {
  EXPECT_EQ(ShownName("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
  EXPECT_EQ(ShownName("a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
  EXPECT_LE(ShownName(std::string(70000, '\n')).size(), kGgufShownNameBytesMax + 8);
}

}  // namespace
}  // namespace pelton::format
