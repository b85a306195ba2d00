#include "kv/block_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace pelton::kv {
namespace {

TEST(BlockPool, GivesEveryBlockOnceAndThenNothing) {
  BlockPool pool(5);
  auto blocks = pool.Allocate(5);
  ASSERT_TRUE(blocks.has_value());
  EXPECT_EQ(std::set<BlockId>(blocks->begin(), blocks->end()), (std::set<BlockId>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.free(), 0);
  EXPECT_FALSE(pool.Allocate(1).has_value());
  EXPECT_TRUE(pool.Allocate(0).has_value());
}

TEST(BlockPool, TakesNothingWhenFewerAreFreeThanAsked) {
  BlockPool pool(4);
  auto three = pool.Allocate(3);
  EXPECT_FALSE(pool.Allocate(2).has_value());
  EXPECT_EQ(pool.free(), 1);
  EXPECT_TRUE(pool.Allocate(1).has_value());
}

TEST(BlockPool, FreesASharedBlockAtItsLastRelease) {
  BlockPool pool(2);
  auto blocks = pool.Allocate(2);
  pool.AddReference(blocks->front());
  pool.Release(*blocks);
  EXPECT_EQ(pool.free(), 1);
  pool.Release({blocks->data(), 1});
  EXPECT_EQ(pool.free(), 2);
}

TEST(BlockPool, ReusesTheHottestBlockFirst) {
  BlockPool pool(8);
  auto blocks = pool.Allocate(3);
  const std::vector<BlockId> before = *blocks;
  pool.Release(*blocks);
  EXPECT_EQ(*pool.Allocate(3), before);
}

TEST(BlockPool, KeepsCountUnderRandomUse) {
  Random random(7);
  BlockPool pool(40);
  std::vector<std::vector<BlockId>> held;
  int out = 0;
  for (int i = 0; i < 20000; ++i) {
    if (random.Below(2) == 0) {
      const int want = static_cast<int>(random.Below(9));
      auto got = pool.Allocate(want);
      ASSERT_EQ(got.has_value(), want <= 40 - out);
      if (got) {
        out += want;
        held.push_back(std::move(*got));
      }
    } else if (!held.empty()) {
      const size_t at = random.Below(held.size());
      out -= static_cast<int>(held[at].size());
      pool.Release(held[at]);
      held.erase(held.begin() + static_cast<long>(at));
    }
    ASSERT_EQ(pool.free(), 40 - out);
  }
  std::set<BlockId> seen;
  for (const auto& blocks : held) {
    for (const BlockId block : blocks) ASSERT_TRUE(seen.insert(block).second);
  }
}

TEST(BlockPoolDeathTest, StopsAtADoubleRelease) {
  BlockPool pool(2);
  auto blocks = pool.Allocate(1);
  pool.Release(*blocks);
  EXPECT_DEATH(pool.Release(*blocks), "released once");
  const BlockId outside = 2;
  EXPECT_DEATH(pool.Release({&outside, 1}), "of this pool");
  EXPECT_DEATH(pool.AddReference(0), "held block");
}

}  // namespace
}  // namespace pelton::kv
