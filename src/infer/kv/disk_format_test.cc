#include "kv/disk_format.h"

#include <gtest/gtest.h>

#include <cstring>

namespace pelton::kv {
namespace {

const ServerKey kKey{1, 2, 3};

struct Example {
  std::vector<int32_t> tokens = {5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<std::byte> data = std::vector<std::byte>(100, std::byte{7});
  DiskName name{.hash = {.low = 1, .high = 2}, .scope = {3}, .salt = {4}, .tokens = tokens,
                .block_tokens = 4};

  std::vector<std::byte> File() const {
    const std::string prologue = DiskPrologue(name, data.size());
    const auto head = std::as_bytes(std::span(prologue));
    const TenantSalt mac = DiskMac(kKey, head, data);
    std::vector<std::byte> file(head.begin(), head.end());
    file.insert(file.end(), data.begin(), data.end());
    const auto tail = std::as_bytes(std::span(mac));
    file.insert(file.end(), tail.begin(), tail.end());
    return file;
  }
};

TEST(DiskFormat, GivesTheDataOfAWholeFile) {
  const Example e;
  const auto file = e.File();
  EXPECT_EQ(file.size(), *DiskFileBytes(e.tokens.size(), e.data.size()));
  const auto data = ReadDiskBlock(file, kKey, e.name, e.data.size());
  ASSERT_TRUE(data.ok()) << data.status().ToString();
  EXPECT_TRUE(std::ranges::equal(*data, e.data));
}

TEST(DiskFormat, BelievesNoFileThatIsCutOrLengthened) {
  const Example e;
  const auto file = e.File();
  for (size_t n = 0; n < file.size(); ++n) {
    EXPECT_FALSE(ReadDiskBlock(std::span(file).first(n), kKey, e.name, e.data.size()).ok());
  }
  auto longer = file;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(ReadDiskBlock(longer, kKey, e.name, e.data.size()).ok());
}

TEST(DiskFormat, BelievesNoFileWithAChangedBit) {
  const Example e;
  auto file = e.File();
  for (size_t i = 0; i < file.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      file[i] ^= static_cast<std::byte>(1 << bit);
      EXPECT_FALSE(ReadDiskBlock(file, kKey, e.name, e.data.size()).ok()) << i;
      file[i] ^= static_cast<std::byte>(1 << bit);
    }
  }
}

TEST(DiskFormat, BelievesNoFileOfAnotherTextTenantModelOrServer) {
  const Example e;
  const auto file = e.File();
  const auto reads = [&](const DiskName& name, const ServerKey& key = kKey, size_t bytes = 100) {
    return ReadDiskBlock(file, key, name, bytes).ok();
  };
  EXPECT_TRUE(reads(e.name));
  DiskName name = e.name;
  name.salt = {5};
  EXPECT_FALSE(reads(name));
  name = e.name;
  name.scope = {5};
  EXPECT_FALSE(reads(name));
  name = e.name;
  name.hash.low = 9;
  EXPECT_FALSE(reads(name));
  name = e.name;
  name.block_tokens = 8;
  EXPECT_FALSE(reads(name));
  // The same hash, another text before the same last block: a collision mixes nothing.
  auto tokens = e.tokens;
  tokens[0] = 99;
  name = e.name;
  name.tokens = tokens;
  EXPECT_FALSE(reads(name));
  EXPECT_FALSE(reads(e.name, ServerKey{9}));
  EXPECT_FALSE(reads(e.name, kKey, 99));
}

TEST(DiskFormat, KnowsItsLimits) {
  EXPECT_TRUE(DiskFileBytes(kDiskTokensMax, kDiskDataBytesMax));
  EXPECT_FALSE(DiskFileBytes(kDiskTokensMax + 1, 0));
  EXPECT_FALSE(DiskFileBytes(0, kDiskDataBytesMax + 1));
}

TEST(DiskFormat, NamesFilesByTheirHash) {
  const BlockHash hash{.low = 0x0123456789abcdefULL, .high = 0xfedcba9876543210ULL};
  const std::string name = DiskFileName(hash);
  EXPECT_EQ(name.size(), 32u);
  EXPECT_EQ(ParseDiskFileName(name), hash);
  EXPECT_FALSE(ParseDiskFileName(name.substr(1)));
  EXPECT_FALSE(ParseDiskFileName("../" + name.substr(3)));
  EXPECT_FALSE(ParseDiskFileName("A" + name.substr(1)));
}

TEST(DiskFormat, TheMacIsHmacSha256) {
  // RFC 4231's second case has a shorter key; padded with zeros to 32 bytes HMAC is the same.
  ServerKey key{'J', 'e', 'f', 'e'};
  const std::string a = "what do ya want ", b = "for nothing?";
  const TenantSalt mac = DiskMac(key, std::as_bytes(std::span(a)), std::as_bytes(std::span(b)));
  const TenantSalt want = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
                           0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
                           0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
  EXPECT_EQ(mac, want);
}

}  // namespace
}  // namespace pelton::kv
