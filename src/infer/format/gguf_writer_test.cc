#include "format/gguf_writer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "format/gguf.h"

namespace pelton::format {
namespace {

using tensor::DType;

std::vector<std::byte> Counting(size_t n) {
  std::vector<std::byte> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i * 7);
  return out;
}

TEST(GgufWriter, EveryKindOfValueComesBack) {
  GgufWriter writer(64);
  writer.Set("bool", true);
  writer.Set("u32", uint64_t{0xffffffff});
  writer.Set("u64", uint64_t{1} << 40);
  writer.Set("i32", int64_t{-3});
  writer.Set("i64", int64_t{-1} << 40);
  writer.Set("f", 0.25);
  writer.Set("s", std::string_view("a\0b", 3));
  writer.Set("bools", std::vector<bool>{true, false, true});
  writer.Set("ints", std::vector<int64_t>{1, -2});
  writer.Set("longs", std::vector<int64_t>{1, int64_t{1} << 40});
  writer.Set("floats", std::vector<double>{0.5, -1.5});
  writer.Set("strings", std::vector<std::string_view>{"", "x", "yz"});
  writer.Set("none", std::vector<int64_t>{});
  writer.Set("s", std::string_view("again"));
  const std::vector<std::byte> bytes = writer.Bytes();
  const auto got = ParseGguf(bytes);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  const Metadata& m = got->metadata;
  EXPECT_EQ(m.all().size(), 14u);  // and general.alignment
  EXPECT_EQ(m.Uint("general.alignment").value(), 64u);
  EXPECT_TRUE(m.Bool("bool").value());
  EXPECT_EQ(m.Uint("u32").value(), 0xffffffffu);
  EXPECT_EQ(m.Uint("u64").value(), uint64_t{1} << 40);
  EXPECT_EQ(std::get<int64_t>(*m.Find("i32")), -3);
  EXPECT_EQ(std::get<int64_t>(*m.Find("i64")), int64_t{-1} << 40);
  EXPECT_EQ(m.Float("f").value(), 0.25);
  EXPECT_EQ(m.String("s").value(), "again");
  EXPECT_EQ(std::get<std::vector<bool>>(*m.Find("bools")), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(m.Ints("ints").value()[1], -2);
  EXPECT_EQ(m.Ints("longs").value()[1], int64_t{1} << 40);
  EXPECT_EQ(m.Floats("floats").value()[1], -1.5);
  EXPECT_EQ(m.Strings("strings").value()[2], "yz");
  EXPECT_TRUE(m.Ints("none").value().empty());
}

TEST(GgufWriter, TensorsComeBackByteForByteAndChunkedRowsInOrder) {
  GgufWriter writer;
  ASSERT_TRUE(writer.AddTensor("k", DType::kQ6_K, {2, 3, 256}, Counting(6 * 210)).ok());
  // 3 rows of 4 MiB: one row a chunk.
  std::vector<int64_t> asked;
  ASSERT_TRUE(writer.AddTensor("big", DType::kF32, {3, 1 << 20},
                               [&](int64_t row, std::span<std::byte> out) {
                                 asked.push_back(row);
                                 out[0] = static_cast<std::byte>(row + 1);
                               }).ok());
  ASSERT_TRUE(writer.AddTensor("h", DType::kF16, {1}, Counting(2)).ok());
  const std::vector<std::byte> bytes = writer.Bytes();
  EXPECT_EQ(bytes.size(), writer.file_bytes());
  EXPECT_EQ(asked, (std::vector<int64_t>{0, 1, 2}));
  const auto got = ParseGguf(bytes);
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  ASSERT_EQ(got->tensors.size(), 3u);
  EXPECT_EQ(got->tensors[0].shape, (std::vector<int64_t>{2, 3, 256}));
  EXPECT_TRUE(std::ranges::equal(got->tensors[0].data, Counting(6 * 210)));
  EXPECT_EQ(got->tensors[1].data[size_t{2} << 22], std::byte{3});
  EXPECT_EQ(got->tensors[2].dtype, DType::kF16);
  EXPECT_EQ(got->tensors[2].elements(), 1);
}

TEST(GgufWriter, RefusesShapesATypeCannotHold) {
  GgufWriter writer;
  EXPECT_FALSE(writer.AddTensor("a", DType::kQ4_0, {33}, Counting(18)).ok());
  EXPECT_FALSE(writer.AddTensor("a", DType::kQ4_0, {32}, Counting(17)).ok());
  EXPECT_FALSE(writer.AddTensor("a", DType::kF32, {}, Counting(4)).ok());
  EXPECT_FALSE(writer.AddTensor("a", DType::kF32, {1, 1, 1, 1, 1}, Counting(4)).ok());
  EXPECT_FALSE(writer.AddTensor("a", DType::kF32, {0, 1}, Counting(0)).ok());
  EXPECT_FALSE(writer.AddTensor("a", DType::kF32, {1, -1}, Counting(0)).ok());
  EXPECT_FALSE(
      writer.AddTensor("a", DType::kF32, {int64_t{1} << 32, int64_t{1} << 32}, GgufWriter::Fill())
          .ok());
  EXPECT_TRUE(ParseGguf(writer.Bytes())->tensors.empty());
}

TEST(GgufWriter, LeavesNothingBehindWhenItCannotWrite) {
  GgufWriter writer;
  EXPECT_EQ(writer.Write("/nowhere/x.gguf").code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(writer.AddTensor("a", DType::kF32, {1 << 16}, Counting(1 << 18)).ok());
  EXPECT_EQ(writer.Write("/dev/full/x").code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace pelton::format
