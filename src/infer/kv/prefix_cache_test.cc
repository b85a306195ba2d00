#include "kv/prefix_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <string>

#include "base/random.h"

namespace pelton::kv {
namespace {

constexpr int kTokens = 4;  // positions of a block
const ServerKey kKey{1, 2, 3};

struct Fixture {
  explicit Fixture(int blocks, bool on = true, PrefixTestHooks hooks = {})
      : cache(blocks, kTokens, on, PrefixHasher(kKey, "model", hooks)) {}

  // A sequence of `tokens` from `tenant` that finds, allocates and keeps what it can.
  struct Held {
    std::vector<int32_t> tokens;
    PrefixChain chain;
    std::vector<BlockId> blocks;
    int found = 0;
  };
  std::optional<Held> Run(std::vector<int32_t> tokens, const std::string& tenant = "a") {
    Held held;
    held.tokens = std::move(tokens);
    held.chain.Start(cache.hasher(), tenant);
    const int whole = static_cast<int>(held.tokens.size()) / kTokens;
    cache.Find(held.chain, held.tokens, whole, &held.blocks);
    held.found = static_cast<int>(held.blocks.size());
    cache.Acquire(held.blocks);
    auto fresh = cache.Allocate(whole - held.found);
    if (!fresh) {
      cache.Release(held.blocks);
      return std::nullopt;
    }
    held.blocks.insert(held.blocks.end(), fresh->begin(), fresh->end());
    for (int i = held.found; i < whole; ++i) {
      auto& block = held.blocks[static_cast<size_t>(i)];
      block = cache.Keep(held.chain, held.tokens, i,
                         i == 0 ? kNoBlock : held.blocks[static_cast<size_t>(i) - 1], block);
    }
    EXPECT_STREQ(cache.Inconsistency(), nullptr);
    return held;
  }
  void End(Held& held) {
    cache.Release(held.blocks);
    held.blocks.clear();
    EXPECT_STREQ(cache.Inconsistency(), nullptr);
  }
  int Found(std::vector<int32_t> tokens, const std::string& tenant = "a") {
    PrefixChain chain;
    chain.Start(cache.hasher(), tenant);
    std::vector<BlockId> found;
    cache.Find(chain, tokens, static_cast<int>(tokens.size()) / kTokens, &found);
    return static_cast<int>(found.size());
  }

  PrefixCache cache;
};

std::vector<int32_t> Text(int blocks, int32_t first = 1) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < blocks * kTokens; ++i) tokens.push_back(first + i);
  return tokens;
}

TEST(PrefixHash, IsSipHash128) {
  // The first vectors of the reference implementation: key 0…15, input 0, 1, 2, … bytes long.
  std::array<uint64_t, 2> key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
  EXPECT_EQ(SipHash128(key, {}),
            (BlockHash{.low = 0xe6a825ba047f81a3ULL, .high = 0x930255c71472f66dULL}));
  const std::byte zero{0};
  EXPECT_EQ(SipHash128(key, {&zero, 1}),
            (BlockHash{.low = 0x44af996bd8c187daULL, .high = 0x45fc229b11597634ULL}));
}

TEST(PrefixHash, DependsOnKeyScopeTenantParentAndEveryToken) {
  const PrefixHasher hasher(kKey, "model");
  const std::vector<int32_t> tokens = Text(1);
  const auto name = [&](const PrefixHasher& h, const char* tenant, std::vector<int32_t> t) {
    return h.Next(h.Root(h.SaltOf(tenant)), t);
  };
  const BlockHash one = name(hasher, "a", tokens);
  EXPECT_EQ(one, name(PrefixHasher(kKey, "model"), "a", tokens));
  EXPECT_NE(one, name(PrefixHasher(RandomServerKey(), "model"), "a", tokens));
  EXPECT_NE(one, name(PrefixHasher(kKey, "other"), "a", tokens));
  EXPECT_NE(one, name(hasher, "b", tokens));
  EXPECT_NE(one, hasher.Next(one, tokens));
  for (size_t i = 0; i < tokens.size(); ++i) {
    auto changed = tokens;
    changed[i] ^= 1 << 20;
    EXPECT_NE(one, name(hasher, "a", changed));
  }
  EXPECT_NE(RandomServerKey(), RandomServerKey());
}

TEST(PrefixCache, FindsTheLongestCommonBeginning) {
  Fixture f(16);
  auto first = f.Run(Text(4));
  ASSERT_TRUE(first);
  auto longer = Text(4);
  longer[3 * kTokens + 1] = 99;  // differs in its last block
  auto second = f.Run(longer);
  EXPECT_EQ(second->found, 3);
  EXPECT_EQ(second->blocks[2], first->blocks[2]);
  EXPECT_NE(second->blocks[3], first->blocks[3]);
  EXPECT_EQ(f.cache.pool().references(first->blocks[0]), 2);
  f.End(*first);
  EXPECT_EQ(f.cache.idle(), 1);  // its last block only
  f.End(*second);
  EXPECT_EQ(f.cache.available(), 16);
  EXPECT_EQ(f.Found(Text(4)), 4);
}

TEST(PrefixCache, TheSameTextInAnotherPlaceIsAnotherBlock) {
  Fixture f(16);
  auto twice = Text(1);
  twice.insert(twice.end(), twice.begin(), twice.begin() + kTokens);
  auto held = f.Run(twice);
  EXPECT_NE(held->blocks[0], held->blocks[1]);
  EXPECT_EQ(f.Found(Text(1)), 1);
}

TEST(PrefixCache, TwoThatComputeTheSameShareOneBlockInTheEnd) {
  Fixture f(4);
  const auto tokens = Text(1);
  std::vector<BlockId> blocks = *f.cache.Allocate(2);
  PrefixChain a, b;
  a.Start(f.cache.hasher(), "a");
  b.Start(f.cache.hasher(), "a");
  EXPECT_EQ(f.cache.Keep(a, tokens, 0, kNoBlock, blocks[0]), blocks[0]);
  EXPECT_EQ(f.cache.Keep(b, tokens, 0, kNoBlock, blocks[1]), blocks[0]);
  EXPECT_EQ(f.cache.pool().references(blocks[0]), 2);
  EXPECT_EQ(f.cache.pool().free(), 3);
}

TEST(PrefixCache, TenantsNeverMeet) {
  Fixture f(16);
  auto held = f.Run(Text(3), "a");
  EXPECT_EQ(f.Found(Text(3), "a"), 3);
  EXPECT_EQ(f.Found(Text(3), "b"), 0);
  EXPECT_EQ(f.Found(Text(3), ""), 0);
  Fixture shared(16, true, {.share_between_tenants = true});
  auto seen = shared.Run(Text(3), "a");
  EXPECT_EQ(shared.Found(Text(3), "b"), 3);  // so the check above can fail
}

TEST(PrefixCache, NoCollisionMixesTexts) {
  for (const int bits : {0, 1, 2}) {
    Fixture f(64, true, {.hash_bits = bits});
    std::deque<Fixture::Held> held;
    for (int i = 0; i < 8; ++i) held.push_back(*f.Run(Text(4, 100 * i), i % 2 == 0 ? "a" : "b"));
    for (const auto& one : held) EXPECT_EQ(one.found, 0);
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(f.Found(Text(4, 100 * i), i % 2 == 0 ? "a" : "b"), 4);
      EXPECT_EQ(f.Found(Text(4, 100 * i), i % 2 == 0 ? "b" : "a"), 0);
    }
    // The second block of one text behind the first of another: known apart by the block before.
    auto mixed = Text(2);
    const auto other = Text(2, 200);
    std::copy(other.begin() + kTokens, other.end(), mixed.begin() + kTokens);
    EXPECT_EQ(f.Found(mixed), 0);
    for (auto& one : held) f.End(one);
    EXPECT_EQ(f.cache.available(), 64);
  }
}

TEST(PrefixCache, EvictsTheLeastRecentlyUsedAndTheEndOfATextFirst) {
  Fixture f(6);
  auto old = f.Run(Text(3));
  auto young = f.Run(Text(3, 100));
  f.End(*old);
  f.End(*young);
  auto again = f.Run(Text(3));  // used again: now the younger one
  EXPECT_EQ(again->found, 3);
  f.End(*again);
  auto fresh = f.cache.Allocate(2);
  EXPECT_EQ(f.cache.evictions(), 2u);
  EXPECT_EQ(f.Found(Text(3)), 3);
  EXPECT_EQ(f.Found(Text(3, 100)), 1);
  EXPECT_FALSE(f.cache.Allocate(5));
  EXPECT_TRUE(f.cache.Allocate(4));
  EXPECT_EQ(f.Found(Text(3)), 0);
  EXPECT_EQ(f.cache.available(), 0);
}

TEST(PrefixCache, SwitchedOffItIsThePool) {
  Fixture f(4, false);
  auto held = f.Run(Text(4));
  ASSERT_TRUE(held);
  f.End(*held);
  EXPECT_EQ(f.cache.idle(), 0);
  EXPECT_EQ(f.cache.pool().free(), 4);
  EXPECT_EQ(f.Found(Text(4)), 0);
  EXPECT_EQ(f.cache.table_bytes(), 0u);
}

TEST(PrefixCache, HoldsUnderRandomUse) {
  Random random(11);
  for (int round = 0; round < 20; ++round) {
    Fixture f(24, true, {.hash_bits = round % 2 == 0 ? 3 : 128});
    std::vector<Fixture::Held> held;
    for (int i = 0; i < 400; ++i) {
      if (random.Below(2) == 0) {
        std::vector<int32_t> tokens;  // of two symbols a block, so that beginnings repeat
        for (uint64_t n = 1 + random.Below(6); n > 0; --n) {
          tokens.insert(tokens.end(), kTokens, static_cast<int32_t>(random.Below(2)));
        }
        auto one = f.Run(tokens, random.Below(3) == 0 ? "b" : "a");
        if (one) held.push_back(std::move(*one));
      } else if (!held.empty()) {
        const size_t at = random.Below(held.size());
        f.End(held[at]);
        held.erase(held.begin() + static_cast<long>(at));
      }
      std::map<BlockId, int> use;
      for (const auto& one : held) {
        for (const BlockId block : one.blocks) ++use[block];
      }
      for (const auto& [block, count] : use) ASSERT_EQ(f.cache.pool().references(block), count);
      ASSERT_EQ(f.cache.available() + static_cast<int>(use.size()), 24);
    }
  }
}

TEST(PrefixCacheDeathTest, StopsAtCorruptUse) {
  Fixture f(4);
  auto held = f.Run(Text(2));
  auto blocks = held->blocks;
  f.End(*held);
  EXPECT_DEATH(f.cache.Release(blocks), "released once");
  const BlockId free = *f.cache.Allocate(1)->begin();
  EXPECT_DEATH(f.cache.Acquire({&free, 1}), "kept block");
}

}  // namespace
}  // namespace pelton::kv
