// The failures of GGUF readers, replayed on the reader of our own packed files: every number of the
// head lies, the sum over it being right. README.md has the table.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/fast_hash.h"
#include "format/packed_file.h"
#include "live_bytes.h"

namespace pelton::cve {
namespace {

using format::PackedHead;

constexpr size_t kMemoryMax = 1 << 20;
constexpr size_t kSumAt = 88;

std::vector<std::byte> Honest(uint64_t* file_bytes) {
  PackedHead head;
  head.sections = {{0, 4096, 1.f}, {4096, 64, 0.5f}, {4160, 100, 2.f}};
  head.body_bytes = 4288;
  head.chunk_sums = {42};
  head.label = "a model";
  std::vector<std::byte> bytes = format::WritePackedHead(head);
  *file_bytes = head.head_bytes + head.padded_body_bytes();
  return bytes;
}

void Put(std::vector<std::byte>& bytes, size_t at, size_t width, uint64_t value) {
  std::memcpy(bytes.data() + at, &value, width);
}

void Seal(std::vector<std::byte>& bytes) {
  const std::span<const std::byte> all(bytes);
  const uint64_t sum =
      FastHash(all.subspan(format::kPackedPrefixBytes), FastHash(all.first(kSumAt)));
  std::memcpy(bytes.data() + kSumAt, &sum, sizeof sum);
}

// Whatever is accepted describes sections inside the body, in order, apart.
void Check(const std::vector<std::byte>& bytes, uint64_t file_bytes) {
  ResetPeak();
  const size_t before = LiveBytes();
  const auto head = format::ParsePackedHead(bytes, file_bytes);
  EXPECT_LT(PeakBytes() - before, kMemoryMax);
  if (!head.ok()) {
    EXPECT_LT(head.status().message().size(), 300u);
    return;
  }
  EXPECT_EQ(head->head_bytes + head->padded_body_bytes(), file_bytes);
  EXPECT_EQ(head->chunk_sums.size(), (head->body_bytes + format::kPackedChunkBytes - 1) / format::kPackedChunkBytes);
  uint64_t end = 0;
  for (const format::PackedSection& s : head->sections) {
    EXPECT_GE(s.offset, end);
    EXPECT_EQ(s.offset % 64, 0u);
    EXPECT_LE(s.bytes, head->body_bytes - s.offset);
    end = s.offset + s.bytes;
  }
}

struct Field {
  size_t at, width;
};

std::vector<Field> Fields() {
  std::vector<Field> out = {{8, 4}, {12, 4}, {16, 8}, {24, 8}, {32, 4}, {36, 4}, {40, 4}, {44, 4}};
  for (size_t section = 0; section < 3; ++section) {
    for (const Field& f : {Field{0, 8}, Field{8, 8}, Field{16, 4}, Field{20, 4}}) {
      out.push_back({format::kPackedPrefixBytes + section * 24 + f.at, f.width});
    }
  }
  return out;
}

constexpr uint64_t kExtremes[] = {0, 1, 63, 64, 4096, 0x7fffffff, 0x80000000, 0xffffffff,
                                  uint64_t{1} << 42, uint64_t{1} << 63, ~uint64_t{0} - 63, ~uint64_t{0}};

TEST(PackedCve, Row1_EveryNumberAndEveryPairAtItsExtremes) {
  uint64_t file_bytes = 0;
  const std::vector<std::byte> honest = Honest(&file_bytes);
  ASSERT_TRUE(format::ParsePackedHead(honest, file_bytes).ok());
  const std::vector<Field> fields = Fields();
  for (size_t a = 0; a < fields.size(); ++a) {
    for (size_t b = a; b < fields.size(); ++b) {
      for (const uint64_t x : kExtremes) {
        for (const uint64_t y : kExtremes) {
          std::vector<std::byte> bytes = honest;
          Put(bytes, fields[a].at, fields[a].width, x);
          Put(bytes, fields[b].at, fields[b].width, y);
          Seal(bytes);
          Check(bytes, file_bytes);
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TEST(PackedCve, Row2_CutAtEveryByte) {
  uint64_t file_bytes = 0;
  const std::vector<std::byte> honest = Honest(&file_bytes);
  for (size_t n = 0; n < honest.size(); ++n) {
    const std::vector<std::byte> cut(honest.begin(), honest.begin() + static_cast<ptrdiff_t>(n));
    EXPECT_FALSE(format::ParsePackedHead(cut, file_bytes).ok());
    EXPECT_FALSE(format::ParsePackedHead(cut, n).ok());
  }
}

TEST(PackedCve, Row3_SectionsThatOverlapOrWrapAreRefused) {
  uint64_t file_bytes = 0;
  const std::vector<std::byte> honest = Honest(&file_bytes);
  const size_t second = format::kPackedPrefixBytes + 24;
  for (const auto& [offset, size] : {std::pair<uint64_t, uint64_t>{0, 64}, {4032, 64}, {4096, ~uint64_t{0} - 4095},
                                     {~uint64_t{63}, 128}, {8192, 64}, {4096, 8192}}) {
    std::vector<std::byte> bytes = honest;
    Put(bytes, second, 8, offset);
    Put(bytes, second + 8, 8, size);
    Seal(bytes);
    EXPECT_FALSE(format::ParsePackedHead(bytes, file_bytes).ok()) << offset << " " << size;
  }
}

}  // namespace
}  // namespace pelton::cve
