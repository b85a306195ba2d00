#include "format/packed_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/fast_hash.h"

namespace pelton::format {
namespace {

PackedHead Sample() {
  PackedHead head;
  head.layout_version = 7;
  for (size_t i = 0; i < head.key.size(); ++i) head.key[i] = static_cast<uint8_t>(i);
  head.content = 99;
  head.sections = {{0, 100, 1.f}, {128, 5'000'000, 0.25f}};
  head.body_bytes = 128 + 5'000'000;  // a multiple of 64
  head.chunk_sums = {11, 12};
  head.label = "model.gguf";
  head.identity.source = 5;
  return head;
}

uint64_t FileBytes(const PackedHead& head) { return head.head_bytes + head.padded_body_bytes(); }

// The head with one number changed and its sum made right again.
std::vector<std::byte> Changed(const std::vector<std::byte>& head, size_t at, auto value) {
  std::vector<std::byte> out = head;
  std::memcpy(out.data() + at, &value, sizeof value);
  const std::span<const std::byte> bytes(out);
  const uint64_t sum =
      FastHash(bytes.subspan(kPackedPrefixBytes), FastHash(bytes.first(88)));
  std::memcpy(out.data() + 88, &sum, sizeof sum);
  return out;
}

TEST(PackedFile, WhatIsWrittenIsRead) {
  PackedHead head = Sample();
  const std::vector<std::byte> bytes = WritePackedHead(head);
  EXPECT_EQ(bytes.size() % kPackedAlign, 0u);
  EXPECT_EQ(*PackedHeadBytes(std::span(bytes).first(kPackedPrefixBytes), FileBytes(head)), bytes.size());
  const auto read = ParsePackedHead(bytes, FileBytes(head));
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->layout_version, 7u);
  EXPECT_EQ(read->key, head.key);
  EXPECT_EQ(read->content, 99u);
  EXPECT_EQ(read->sections, head.sections);
  EXPECT_EQ(read->chunk_sums, head.chunk_sums);
  EXPECT_EQ(read->label, "model.gguf");
  EXPECT_EQ(read->identity, head.identity);
  EXPECT_EQ(read->head_bytes, bytes.size());
}

TEST(PackedFile, ATornIdentityIsNoIdentityAndNoDamage) {
  PackedHead head = Sample();
  std::vector<std::byte> bytes = WritePackedHead(head);
  bytes[kPackedIdentityOffset] ^= std::byte{1};
  const auto read = ParsePackedHead(bytes, FileBytes(head));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->identity.source, 0u);
}

TEST(PackedFile, EveryOtherByteThatChangesIsNoticed) {
  PackedHead head = Sample();
  std::vector<std::byte> bytes = WritePackedHead(head);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i >= 96 && i < kPackedPrefixBytes) continue;  // reserved, and the identity
    bytes[i] ^= std::byte{0x10};
    EXPECT_FALSE(ParsePackedHead(bytes, FileBytes(head)).ok()) << "byte " << i;
    bytes[i] ^= std::byte{0x10};
  }
}

TEST(PackedFile, NumbersThatLieAreNamed) {
  PackedHead head = Sample();
  const std::vector<std::byte> bytes = WritePackedHead(head);
  const uint64_t size = FileBytes(head);
  const auto refused = [&](size_t at, auto value, const char* word) {
    const auto read = ParsePackedHead(Changed(bytes, at, value), size);
    EXPECT_FALSE(read.ok()) << word << " at " << at;
    EXPECT_NE(read.status().message().find(word), std::string::npos) << read.status().message();
  };
  refused(8, uint32_t{2}, "version 2");
  for (const uint64_t v : {uint64_t{0}, uint64_t{4096}, ~uint64_t{0}, uint64_t{1} << 63}) refused(16, v == 4096 ? v * 2 : v, "head of");
  for (const uint64_t v : {uint64_t{0}, kPackedBodyBytesMax + 1, ~uint64_t{0}}) refused(24, v, "body of");
  for (const uint32_t v : {0u, 65537u, ~0u}) refused(32, v, "sections");
  refused(36, uint32_t{1}, "chunks of another size");
  for (const uint32_t v : {0u, 1u, 3u, ~0u}) refused(40, v, "chunks for");
  for (const uint32_t v : {4097u, ~0u}) refused(44, v, "label");
  const size_t second = kPackedPrefixBytes + 24;
  for (const uint64_t v : {uint64_t{64}, uint64_t{129}, uint64_t{192}, ~uint64_t{63}}) refused(second, v, "begins at");
  for (const uint64_t v : {uint64_t{0}, uint64_t{5'000'001}, ~uint64_t{0}, ~uint64_t{127}}) refused(second + 8, v, "behind the body");
  refused(second + 8, uint64_t{5'000'000 - 64}, "sections end");
  for (const float v : {0.f, -1.f, 3.f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    refused(second + 16, v, "scale");
  }
  EXPECT_FALSE(ParsePackedHead(bytes, size - 1).ok());
  EXPECT_FALSE(ParsePackedHead(bytes, size + 1).ok());
}

TEST(PackedFile, CutAnywhereItIsRefused) {
  PackedHead head = Sample();
  const std::vector<std::byte> bytes = WritePackedHead(head);
  for (size_t n = 0; n < bytes.size(); n += n < 300 ? 1 : 97) {
    EXPECT_FALSE(ParsePackedHead(std::span(bytes).first(n), FileBytes(head)).ok());
    EXPECT_FALSE(ParsePackedHead(std::span(bytes).first(n), n).ok());
  }
}

}  // namespace
}  // namespace pelton::format
