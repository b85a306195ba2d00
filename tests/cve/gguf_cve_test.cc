// Published vulnerabilities of GGUF readers, replayed on ours. Each test is named after what it
// replays; README.md has the table.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "format/gguf.h"
#include "format/gguf_limits.h"
#include "format/model_file.h"
#include "gguf_bytes.h"
#include "live_bytes.h"
#include "tensor/dtype.h"

namespace pelton::cve {
namespace {

using format::GgufContents;
using format::ParseGguf;

// What a reader may hold for a file of `bytes`: the bound of the reliability plan.
size_t MemoryBound(size_t bytes) { return 2 * bytes + (size_t{64} << 20); }
// The same for the tiny files of these tests, whose honest contents are a few kilobytes.
constexpr size_t kTinyFileMemory = 64 << 10;

const std::vector<uint64_t>& Extremes(size_t width) {
  static const std::vector<uint64_t> four = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
  static const std::vector<uint64_t> eight = {
      0, 1, 0x7fffffff, 0x80000000, 0xffffffff, uint64_t{1} << 63, ~uint64_t{0}};
  return width == 4 ? four : eight;
}

void ExpectInside(std::string_view view, std::span<const std::byte> bytes,
                  const std::string& what) {
  if (view.empty()) return;
  const auto* begin = reinterpret_cast<const char*>(bytes.data());
  ASSERT_GE(view.data(), begin) << what;
  ASSERT_LE(view.data() + view.size(), begin + bytes.size()) << what;
}

// Whatever was accepted is consistent: views inside the file, tensors of the size of their shape,
// apart from each other, together at most the file.
void ExpectSound(const GgufContents& got, std::span<const std::byte> bytes,
                 const std::string& what) {
  for (const auto& [key, value] : got.metadata.all()) {
    if (const auto* s = std::get_if<std::string_view>(&value)) ExpectInside(*s, bytes, what);
    if (const auto* all = std::get_if<std::vector<std::string_view>>(&value)) {
      for (const std::string_view s : *all) ExpectInside(s, bytes, what);
    }
  }
  size_t total = 0;
  for (const format::Tensor& t : got.tensors) {
    ExpectInside({reinterpret_cast<const char*>(t.data.data()), t.data.size()}, bytes, what);
    const auto row = tensor::RowBytes(t.dtype, static_cast<uint64_t>(t.shape.back()));
    ASSERT_TRUE(row) << what;
    ASSERT_EQ(*row * static_cast<uint64_t>(t.elements() / t.shape.back()), t.data.size()) << what;
    total += t.data.size();
  }
  ASSERT_LE(total, bytes.size()) << what;
}

// Reads from a buffer of exactly the file's size, so that ASan sees one byte too many.
void ParseAndCheck(std::string_view file, const std::string& what) {
  const auto exact = std::make_unique<std::byte[]>(file.size());
  std::copy_n(reinterpret_cast<const std::byte*>(file.data()), file.size(), exact.get());
  const std::span<const std::byte> bytes(exact.get(), file.size());
  ResetPeak();
  const size_t before = LiveBytes();
  const auto got = ParseGguf(bytes);
  ASSERT_LE(PeakBytes() - before, kTinyFileMemory) << what;
  if (got.ok()) {
    ExpectSound(*got, bytes, what);
  } else {
    ASSERT_FALSE(got.status().message().empty()) << what;
    ASSERT_EQ(got.status().message().find('\n'), std::string::npos) << what;
  }
}

std::string ErrorOf(const GgufBytes& file) {
  const auto got = ParseGguf(file.span());
  return got.ok() ? "accepted" : got.status().message();
}

void ExpectError(const GgufBytes& file, const std::string& part) {
  const std::string error = ErrorOf(file);
  EXPECT_NE(error.find(part), std::string::npos) << "error: " << error << "\nexpected: " << part;
}

TEST(GgufCve, TheFileOfTheMatrixIsValid) {
  const GgufBytes file = EveryField();
  const auto got = ParseGguf(file.span());
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(got->metadata.all().size(), 7u);
  EXPECT_EQ(got->tensors.size(), 3u);
}

// Row 1. CVE-2024-21802 (sizes of dimensions), -21825 (array), -21836 (n_tensors), -23496 (string
// length), -23605 (n_kv): each was a number of the file trusted in an allocation.
TEST(GgufCve, Row1_FieldBoundaryMatrixOfEveryField) {
  const GgufBytes valid = EveryField();
  ASSERT_GT(valid.fields().size(), 40u);
  for (const Field& field : valid.fields()) {
    for (const uint64_t value : Extremes(field.width)) {
      GgufBytes file = valid;
      file.Put(field, value);
      ParseAndCheck(file.bytes(), field.what + " = " + std::to_string(value));
    }
  }
}

// The same with two wrong fields, because fixes of one field were bypassed through another.
TEST(GgufCve, Row1_FieldBoundaryMatrixOfEveryPairOfFields) {
  const GgufBytes valid = EveryField();
  for (size_t i = 0; i < valid.fields().size(); ++i) {
    for (const uint64_t a : Extremes(valid.fields()[i].width)) {
      GgufBytes first = valid;
      first.Put(valid.fields()[i], a);
      for (size_t j = i + 1; j < valid.fields().size(); ++j) {
        for (const uint64_t b : Extremes(valid.fields()[j].width)) {
          GgufBytes file = first;
          file.Put(valid.fields()[j], b);
          ParseAndCheck(file.bytes(), valid.fields()[i].what + ", " + valid.fields()[j].what);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(GgufCve, Row1_2024_21836_And_23605_HugeCountsAreRefusedBeforeAnythingIsAllocated) {
  ExpectError(GgufBytes().Header(~uint64_t{0}, 0), "18446744073709551615 tensors");
  ExpectError(GgufBytes().Header(0, ~uint64_t{0}), "18446744073709551615 metadata keys");
  ExpectError(GgufBytes().Header(uint64_t{1} << 63, uint64_t{1} << 63), "tensors");
  ExpectError(GgufBytes().Header(65536, 8192).Data(4096), "in 4120 bytes");
}

TEST(GgufCve, Row1_2024_21825_ArrayCountsAreHeldAgainstTheFile) {
  for (const uint32_t type : {kU8, kU32, kString, kU64}) {
    for (const uint64_t count :
         {uint64_t{1000}, format::kGgufArrayElementsMax, format::kGgufArrayElementsMax + 1,
          uint64_t{1} << 61, uint64_t{1} << 62, ~uint64_t{0}}) {
      GgufBytes file;
      file.Header(0, 1).Key("a", kArray).ArrayHead("a", type, count).Data(64);
      ParseAndCheck(file.bytes(), "array");
      ExpectError(file, "key a");
    }
  }
}

TEST(GgufCve, Row1_2024_23496_StringLengthsAreHeldAgainstTheFile) {
  for (const uint64_t length : {uint64_t{100}, uint64_t{0x7fffffff}, uint64_t{1} << 32,
                                uint64_t{1} << 63, ~uint64_t{0} - 7, ~uint64_t{0}}) {
    GgufBytes value;
    value.Header(0, 1).Key("s", kString).U64(length, "").Data(8);
    ExpectError(value, "key s");
    GgufBytes key;
    key.Header(0, 1).U64(length, "").Data(8);
    ExpectError(key, "metadata key number 1");
    GgufBytes name;
    name.Header(1, 0).U64(length, "").Data(24);
    ExpectError(name, "the name of tensor number 1");
  }
}

TEST(GgufCve, Row1_2024_21802_DimensionsBeyondFourAreRefused) {
  for (const uint32_t dims : {0u, 5u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    GgufBytes file;
    file.Header(1, 0).String("t", "").U32(dims, "").Data(64, '\1');
    ExpectError(file, "tensor t has " + std::to_string(dims) + " dimensions");
  }
}

// Row 2. CVE-2024-32878 (free of what was never set), -41130 (null pointer) on truncated headers.
TEST(GgufCve, Row2_2024_32878_And_41130_TruncatedAtEveryByte) {
  const std::string whole = EveryField().bytes();
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto exact = std::make_unique<std::byte[]>(length);
    std::copy_n(reinterpret_cast<const std::byte*>(whole.data()), length, exact.get());
    const auto got = ParseGguf({exact.get(), length});
    ASSERT_FALSE(got.ok()) << length;
    ASSERT_FALSE(got.status().message().empty()) << length;
  }
}

// Row 6. Ollama CVE-2024-39720: a file of the four bytes "GGUF" stopped the server.
TEST(GgufCve, Row6_2024_39720_FourBytesOfMagic) {
  ExpectError(GgufBytes().Text("GGUF"), "ends inside the header");
  ExpectError(GgufBytes(), "too short");
}

// Row 3. CVE-2025-53630 and its bypass CVE-2026-27940: the sum of sizes wrapped.
TEST(GgufCve, Row3_2025_53630_SumsOfSizesDoNotWrap) {
  GgufBytes file;
  file.Header(3, 0);
  file.Tensor("a", {uint64_t{1} << 61}, 0, 0);                    // 2^63 bytes
  file.Tensor("b", {uint64_t{1} << 61}, 0, uint64_t{1} << 63);    // ends at 2^64
  file.Tensor("c", {8}, 0, 0).Align(32).Data(64);
  ExpectError(file, "tensor a ends behind the end");
}

// CVE-2026-33298: the size of one tensor wrapped to a few bytes.
TEST(GgufCve, Row3_2026_33298_TheSizeOfATensorDoesNotWrap) {
  const auto tensor = [](std::initializer_list<uint64_t> dims, uint32_t type) {
    GgufBytes file;
    file.Header(1, 0).Tensor("t", dims, type, 0).Align(32).Data(4096);
    return file;
  };
  ExpectError(tensor({uint64_t{1} << 31, uint64_t{1} << 31}, 0), "over 2^64");  // 2^62 · 4
  ExpectError(tensor({uint64_t{1} << 32, uint64_t{1} << 30, 1, 1}, 0), "over 2^64");
  ExpectError(tensor({uint64_t{1} << 62}, 0), "over 2^64");
  ExpectError(tensor({uint64_t{1} << 32, uint64_t{1} << 32}, 2),
              "impossible size");  // 2^64 elements
  ExpectError(tensor({uint64_t{1} << 62, 4}, 2), "impossible size");
  ExpectError(tensor({uint64_t{1} << 62, 1}, 8), "ends behind the end");  // 4.9e18 bytes of Q8_0
  ExpectError(tensor({(uint64_t{1} << 62) - 1}, 0),
              "ends behind the end");  // 2^64 - 4: padding wraps
  ExpectError(tensor({1, 1, 1, ~uint64_t{0}}, 0), "impossible size");
}

// The padding of the data section and of offsets: alignment sums near the top.
TEST(GgufCve, Row3_PaddingDoesNotWrap) {
  for (const uint64_t offset : {~uint64_t{0} - 31, uint64_t{1} << 63, (uint64_t{1} << 63) - 32}) {
    GgufBytes file;
    file.Header(1, 0).Tensor("t", {8}, 0, offset).Align(32).Data(64);
    ExpectError(file, "tensor t ends behind the end");
  }
}

// The property that all of row 3 breaks: the bytes of a model are at most the bytes of its file.
TEST(GgufCve, Row3_TheTensorsOfAFileAreNeverMoreThanTheFile) {
  for (uint64_t size = 1; size <= 256; ++size) {
    GgufBytes file;
    file.Header(2, 0).Tensor("a", {size}, 0, 0).Tensor("b", {32}, 8, 512).Align(32).Data(546);
    ParseAndCheck(file.bytes(), std::to_string(size));
    const std::string error = ErrorOf(file);
    if (size <= 128) {
      EXPECT_EQ(error, "accepted") << size;
    } else if (size <= 136) {  // 546 bytes are there
      EXPECT_EQ(error, "tensors a and b overlap") << size;
    } else {
      EXPECT_NE(error.find("tensor a ends behind the end"), std::string::npos) << size << error;
    }
  }
}

// Row 5. Ollama CVE-2026-7482: offset and size reached behind the file, and the heap beside it
// (other people's keys) came back as weights.
TEST(GgufCve, Row5_2026_7482_NoTensorReachesTheMemoryBesideTheFile) {
  const std::string canary = "sk-secret-of-another-user-";
  const GgufBytes valid = EveryField();
  for (const Field& field : valid.fields()) {
    std::vector<uint64_t> values = Extremes(field.width);
    for (const uint64_t step : {16, 32, 64, 96, 128, 224, 256, 288, 320, 352, 4096})
      values.push_back(step);
    for (const uint64_t value : values) {
      GgufBytes file = valid;
      file.Put(field, value);
      std::string heap;
      while (heap.size() < 8192) heap += canary;
      const size_t start = heap.size();
      heap += file.bytes();
      for (int i = 0; i < 400; ++i) heap += canary;
      const auto bytes = std::as_bytes(std::span(heap)).subspan(start, file.bytes().size());
      const auto got = ParseGguf(bytes);
      if (!got.ok()) {
        ASSERT_EQ(got.status().message().find("secret"), std::string::npos) << field.what;
        continue;
      }
      ExpectSound(*got, bytes, field.what);
      for (const format::Tensor& t : got->tensors) {
        const std::string_view data(reinterpret_cast<const char*>(t.data.data()), t.data.size());
        ASSERT_EQ(data.find("secret"), std::string_view::npos) << field.what << " = " << value;
      }
    }
  }
}

TEST(GgufCve, Row5_TwoTensorsDoNotShareBytes) {
  GgufBytes file;
  file.Header(2, 0).Tensor("a", {64}, 0, 0).Tensor("b", {64}, 0, 128).Align(32).Data(512);
  ExpectError(file, "tensors a and b overlap");
}

// Row 6. Ollama CVE-2025-0317: alignment 0 was a division by zero.
TEST(GgufCve, Row6_2025_0317_AlignmentZeroAndOtherImpossibleOnes) {
  for (const uint32_t alignment : {0u, 1u, 3u, 31u, 33u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    GgufBytes file;
    file.Header(1, 1).Key("general.alignment", kU32).U32(alignment, "");
    file.Tensor("t", {8}, 0, 0).Align(32).Data(64);
    ExpectError(file, "key general.alignment is " + std::to_string(alignment));
  }
  GgufBytes negative;
  negative.Header(0, 1).Key("general.alignment", kI32).U32(0xffffffff, "");
  ExpectError(negative, "must not be negative");
  GgufBytes array;
  array.Header(0, 1)
      .Key("general.alignment", kArray)
      .ArrayHead("general.alignment", kU32, 1)
      .U32(32, "");
  ExpectError(array, "not a whole number");
}

// Ollama CVE-2025-0315: a small file asked for unbounded memory.
TEST(GgufCve, Row6_2025_0315_MemoryStaysWithinTwiceTheFileAnd64MiB) {
  GgufBytes bytes_array;  // the largest expansion: a byte becomes a 64-bit number
  bytes_array.Header(0, 1).Key("a", kArray).ArrayHead("a", kU8, format::kGgufArrayElementsMax);
  bytes_array.Data(format::kGgufArrayElementsMax);
  GgufBytes strings;  // 8 bytes become 16
  strings.Header(0, 1).Key("a", kArray).ArrayHead("a", kString, format::kGgufArrayElementsMax);
  strings.Data(8 * format::kGgufArrayElementsMax, '\0');
  GgufBytes keys;
  keys.Header(0, format::kGgufKeysMax);
  for (uint64_t i = 0; i < format::kGgufKeysMax; ++i)
    keys.Key("key." + std::to_string(i), kU32).U32(0, "");
  GgufBytes tensors;
  tensors.Header(format::kGgufTensorsMax, 0);
  for (uint64_t i = 0; i < format::kGgufTensorsMax; ++i)
    tensors.Tensor(std::to_string(i), {1}, 0, i * 32);
  tensors.Align(32).Data(32 * format::kGgufTensorsMax);
  for (const GgufBytes* file : {&bytes_array, &strings, &keys, &tensors}) {
    ResetPeak();
    const size_t before = LiveBytes();
    const auto got = ParseGguf(file->span());
    EXPECT_TRUE(got.ok()) << got.status().ToString();
    EXPECT_LE(PeakBytes() - before, MemoryBound(file->bytes().size()));
  }
}

// Ollama CVE-2024-12055, -2025-0312: values of another type than expected, and missing ones, were
// used without a look.
TEST(GgufCve, Row6_2025_0312_MissingAndMistypedKeysAreErrorsOfTheAccessor) {
  GgufBytes file;
  file.Header(0, 2).Key("s", kString).String("x", "").Key("a", kArray).ArrayHead("a", kU32, 0);
  const auto got = ParseGguf(file.span());
  ASSERT_TRUE(got.ok());
  const format::Metadata& m = got->metadata;
  EXPECT_EQ(m.Uint("llama.block_count").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(m.Uint("s").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(m.Strings("a").status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(m.Ints("a").value().empty());
}

TEST(GgufCve, Row6_NestedArraysDoNotRecurse) {
  GgufBytes file;
  file.Header(0, 1).Key("a", kArray);
  for (int i = 0; i < 100000; ++i) file.ArrayHead("a", kArray, 1);
  ExpectError(file, "key a is an array of arrays");
}

// Row 7. vLLM CVE-2026-53923: sizes cut to 32 bits between file and kernel. A sparse file with a
// tensor of more than 2^31 elements and 2^32 bytes.
TEST(GgufCve, Row7_2026_53923_SizesAbove32BitsStayWhole) {
  constexpr uint64_t kColumns = 4096, kRows = (uint64_t{1} << 31) / kColumns + 3;
  constexpr uint64_t kRowBytes = kColumns / 256 * 210;
  GgufBytes head;
  head.Header(1, 0).Tensor("t", {kColumns, kRows}, 14, 0).Align(32);
  std::string path = (std::filesystem::temp_directory_path() / "pelton-cve-XXXXXX").string();
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, head.bytes().data(), head.bytes().size()), ssize_t(head.bytes().size()));
  const uint64_t end = head.bytes().size() + kRows * kRowBytes;
  ASSERT_EQ(ftruncate(fd, static_cast<off_t>(end)), 0);
  // The last block of the last row: codes 0, scales 1, d = 1.0, so every element is -32.
  std::string block(210, '\0');
  for (int i = 0; i < 16; ++i) block[192 + i] = 1;
  block[209] = 0x3c;
  ASSERT_EQ(pwrite(fd, block.data(), block.size(), static_cast<off_t>(end - 210)), 210);
  close(fd);
  const auto model = format::ModelFile::Open(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  const format::Tensor& t = (*model)->tensors()[0];
  EXPECT_EQ(t.elements(), int64_t(kRows * kColumns));
  ASSERT_EQ(t.data.size(), kRows * kRowBytes);
  std::vector<float> row(kColumns);
  tensor::DequantizeRow(t.dtype, t.data.data() + (kRows - 1) * kRowBytes, kColumns, row.data());
  EXPECT_EQ(row[kColumns - 257], 0.0F);
  EXPECT_EQ(row[kColumns - 256], -32.0F);
  EXPECT_EQ(row[kColumns - 1], -32.0F);
}

// Beside row 6: names come from strangers and end up in logs and terminals.
TEST(GgufCve, NamesCannotBreakTheLineOrTheTerminal) {
  GgufBytes file;
  file.Header(1, 0).Tensor("\x1b]0;owned\x07\n", {8}, 0, 0).Align(32).Data(32);
  ExpectError(file, "not printable text");
  EXPECT_EQ(ErrorOf(file).find('\x1b'), std::string::npos);
  GgufBytes nul;
  nul.Header(0, 1).Key(std::string("a\0b", 3), kU32).U32(1, "");
  ExpectError(nul, "a\\x00b");
}

}  // namespace
}  // namespace pelton::cve
