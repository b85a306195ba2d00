// Row 42: prefix caches shared between users. vLLM CVE-2025-46570 (the time to the first token told
// what others had asked), CVE-2025-25183 (a predictable hash let one prompt stand in for another).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kv/disk_cache.h"
#include "kv/prefix_cache.h"

namespace pelton::kv {
namespace {

constexpr int kTokens = 16;

std::vector<int32_t> Text(int blocks, int32_t seed) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < blocks * kTokens; ++i) tokens.push_back(seed + i);
  return tokens;
}

// Keeps `tokens` of `tenant`, which nobody holds afterwards.
void Keep(PrefixCache& cache, const std::vector<int32_t>& tokens, std::string_view tenant) {
  PrefixChain chain;
  chain.Start(cache.hasher(), tenant);
  auto blocks = *cache.Allocate(static_cast<int>(tokens.size()) / kTokens);
  BlockId parent = kNoBlock;
  for (size_t i = 0; i < blocks.size(); ++i) {
    parent = blocks[i] = cache.Keep(chain, tokens, static_cast<int>(i), parent, blocks[i]);
  }
  cache.Release(blocks);
}

int Found(PrefixCache& cache, const std::vector<int32_t>& tokens, std::string_view tenant) {
  PrefixChain chain;
  chain.Start(cache.hasher(), tenant);
  std::vector<BlockId> found;
  cache.Find(chain, tokens, static_cast<int>(tokens.size()) / kTokens, &found);
  return static_cast<int>(found.size());
}

TEST(PrefixCve, Row42_Cve_2025_46570_AnotherTenantFindsNothing) {
  PrefixCache cache(64, kTokens, true, PrefixHasher(RandomServerKey(), ""));
  Keep(cache, Text(8, 1), "victim");
  EXPECT_EQ(Found(cache, Text(8, 1), "victim"), 8);
  for (const char* tenant : {"", "attacker", "Victim", "victim ", "victi"}) {
    EXPECT_EQ(Found(cache, Text(8, 1), tenant), 0) << tenant;
  }
  PrefixCache shared(64, kTokens, true,
                     PrefixHasher(RandomServerKey(), "", {.share_between_tenants = true}));
  Keep(shared, Text(8, 1), "victim");
  EXPECT_EQ(Found(shared, Text(8, 1), "attacker"), 8) << "the check above could not fail";
}

TEST(PrefixCve, Row42_Cve_2025_25183_NoHashIsTheSameOnTwoServers) {
  const PrefixHasher one(RandomServerKey(), "m"), two(RandomServerKey(), "m");
  const auto tokens = Text(1, 7);
  EXPECT_NE(one.SaltOf("a"), two.SaltOf("a"));
  EXPECT_NE(one.Next(one.Root(one.SaltOf("a")), tokens), two.Next(two.Root(two.SaltOf("a")), tokens));
}

TEST(PrefixCve, Row42_Cve_2025_25183_NotEvenEveryHashEqualMixesTexts) {
  PrefixCache cache(256, kTokens, true, PrefixHasher(RandomServerKey(), "", {.hash_bits = 0}));
  for (int i = 0; i < 10; ++i) Keep(cache, Text(4, 1000 * i), i % 2 == 0 ? "a" : "b");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Found(cache, Text(4, 1000 * i), i % 2 == 0 ? "a" : "b"), 4);
    EXPECT_EQ(Found(cache, Text(4, 1000 * i), i % 2 == 0 ? "b" : "a"), 0);
    auto changed = Text(4, 1000 * i);
    changed.front() ^= 1;
    EXPECT_EQ(Found(cache, changed, i % 2 == 0 ? "a" : "b"), 0);
  }
}

TEST(PrefixCve, Row42_OnDiskAForgedFileIsNotBelieved) {
  const ServerKey server = RandomServerKey();
  const PrefixHasher hasher(server, "m");
  const auto tokens = Text(1, 7);
  const TenantSalt salt = hasher.SaltOf("victim");
  const DiskName name{.hash = hasher.Next(hasher.Root(salt), tokens), .scope = hasher.scope(),
                      .salt = salt, .tokens = tokens, .block_tokens = kTokens};
  const std::vector<std::byte> data(256, std::byte{1});
  for (const ServerKey& key : {server, ServerKey{}}) {  // with the key, and without it
    const std::string prologue = DiskPrologue(name, data.size());
    const auto head = std::as_bytes(std::span(prologue));
    const TenantSalt mac = DiskMac(key, head, data);
    std::vector<std::byte> file(head.begin(), head.end());
    file.insert(file.end(), data.begin(), data.end());
    const auto tail = std::as_bytes(std::span(mac));
    file.insert(file.end(), tail.begin(), tail.end());
    EXPECT_EQ(ReadDiskBlock(file, server, name, data.size()).ok(), key == server);
  }
}

}  // namespace
}  // namespace pelton::kv
