// The failures of model file readers, replayed on safetensors and its index. README.md has the table.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "format/hf_folder.h"
#include "format/safetensors.h"
#include "live_bytes.h"

namespace pelton::cve {
namespace {

std::vector<std::byte> File(const std::string& header, size_t data_bytes, uint64_t claimed) {
  std::vector<std::byte> out(8 + header.size() + data_bytes);
  std::memcpy(out.data(), &claimed, 8);
  std::memcpy(out.data() + 8, header.data(), header.size());
  return out;
}
std::vector<std::byte> File(const std::string& header, size_t data_bytes) {
  return File(header, data_bytes, header.size());
}

std::string Entry(const std::string& shape, const std::string& offsets, const char* type = "F32") {
  return fmt::format(R"({{"dtype":"{}","shape":{},"data_offsets":{}}})", type, shape, offsets);
}

bool Refused(const std::vector<std::byte>& bytes) {
  ResetPeak();
  const size_t before = LiveBytes();
  const auto read = format::ParseSafetensors(bytes);
  EXPECT_LT(PeakBytes() - before, size_t{4} << 20);
  return !read.ok();
}

TEST(SafetensorsCve, Row1_HeaderLengthsThatLie) {
  const std::string header = R"({"a":)" + Entry("[2]", "[0,8]") + "}";
  ASSERT_FALSE(Refused(File(header, 8)));
  for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{header.size() - 1}, uint64_t{header.size() + 1},
                           uint64_t{header.size() + 9}, uint64_t{0xffffffff}, uint64_t{1} << 63, ~uint64_t{0},
                           ~uint64_t{7}}) {
    EXPECT_TRUE(Refused(File(header, 8, n))) << n;
  }
  const std::vector<std::byte> whole = File(header, 8);
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_TRUE(Refused({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)})) << n;
  }
}

TEST(SafetensorsCve, Row3_OffsetsAndShapesThatWrapOverlapOrLeaveGaps) {
  const char* offsets[] = {"[0,4]", "[0,12]", "[4,12]", "[8,0]", "[-8,0]", "[0,8.5]", "[0]", "[0,8,8]", "null",
                           "[0,18446744073709551615]", "[18446744073709551608,18446744073709551615]",
                           "[0,18446744073709551624]", "[9223372036854775808,9223372036854775816]"};
  for (const char* pair : offsets) {
    EXPECT_TRUE(Refused(File(R"({"a":)" + Entry("[2]", pair) + "}", 8))) << pair;
  }
  const char* shapes[] = {"[3]", "[]", "[0]", "[-2]", "[2,0]", "[1,1,1,1,2]", "[4294967296,4294967296]",
                          "[9223372036854775807,2]", "[4611686018427387906]", "[2.5]", "\"2\"", "null"};
  for (const char* shape : shapes) {
    EXPECT_TRUE(Refused(File(R"({"a":)" + Entry(shape, "[0,8]") + "}", 8))) << shape;
  }
  const auto two = [](const char* a, const char* b, size_t bytes) {
    return File(R"({"a":)" + Entry("[1]", a) + R"(,"b":)" + Entry("[1]", b) + "}", bytes);
  };
  EXPECT_FALSE(Refused(two("[0,4]", "[4,8]", 8)));
  EXPECT_FALSE(Refused(two("[4,8]", "[0,4]", 8)));  // any order of names
  EXPECT_TRUE(Refused(two("[0,4]", "[0,4]", 8)));
  EXPECT_TRUE(Refused(two("[0,4]", "[2,6]", 8)));
  EXPECT_TRUE(Refused(two("[0,4]", "[8,12]", 12)));
  EXPECT_TRUE(Refused(two("[0,4]", "[4,8]", 12)));
}

TEST(SafetensorsCve, Row6_TypesNamesAndNestingThatCannotBe) {
  for (const char* type : {"F64", "I64", "U8", "BOOL", "F8_E4M3", "f32", ""}) {
    EXPECT_TRUE(Refused(File(R"({"a":)" + Entry("[2]", "[0,8]", type) + "}", 8))) << type;
  }
  EXPECT_TRUE(Refused(File(R"({"a\n":)" + Entry("[2]", "[0,8]") + "}", 8)));
  EXPECT_TRUE(Refused(File(R"({"":)" + Entry("[2]", "[0,8]") + "}", 8)));
  EXPECT_TRUE(Refused(File(fmt::format(R"({{"{}":{}}})", std::string(300, 'a'), Entry("[2]", "[0,8]")), 8)));
  const std::string entry = Entry("[1]", "[0,4]");
  EXPECT_TRUE(Refused(File(R"({"a":)" + entry + R"(,"a":)" + entry + "}", 4)));
  EXPECT_TRUE(Refused(File(R"({"a":)" + std::string(100000, '[') + "}", 0)));
  EXPECT_TRUE(Refused(File("[]", 0)));
  EXPECT_TRUE(Refused(File("", 0)));
}

TEST(SafetensorsCve, Row6_AnIndexNamesNoFileOutsideTheFolder) {
  const auto index = [](const std::string& name) {
    return format::ReadHfIndex(R"({"weight_map":{"a":")" + name + R"("}})").ok();
  };
  EXPECT_TRUE(index("model-00001-of-00002.safetensors"));
  for (const char* name : {"../model.safetensors", "/etc/model.safetensors", "a/b.safetensors", "..safetensors",
                           ".hidden.safetensors", "model.safetensors/", "model.bin", "", "a\\\\b.safetensors",
                           "a%2fb.safetensors", "model.safetensors\\u0000", "m o.safetensors", "file:x.safetensors"}) {
    EXPECT_FALSE(index(name)) << name;
  }
  EXPECT_FALSE(format::ReadHfIndex(R"({"weight_map":{"a":3}})").ok());
  EXPECT_FALSE(format::ReadHfIndex(R"({"weight_map":{}})").ok());
  EXPECT_FALSE(format::ReadHfIndex(R"({})").ok());
  std::string many = R"({"weight_map":{)";
  for (int i = 0; i < 513; ++i) many += fmt::format(R"({}"t{}":"f{}.safetensors")", i == 0 ? "" : ",", i, i);
  EXPECT_FALSE(format::ReadHfIndex(many + "}}").ok());
}

}  // namespace
}  // namespace pelton::cve
