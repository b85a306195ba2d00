#include "base/memory_budget.h"

#include <gtest/gtest.h>

#include <thread>

namespace pelton {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

MemoryBudget::Limits LimitsOf(uint64_t limit_mib, uint64_t reserve_mib) {
  return {limit_mib * kMiB, reserve_mib * kMiB, "--memory"};
}

TEST(ByteSize, ReadsWhatPeopleWriteAndNothingElse) {
  EXPECT_EQ(ByteSize::FromFlag("4GiB")->bytes, 4ull << 30);
  EXPECT_EQ(ByteSize::FromFlag("4Gi")->bytes, 4ull << 30);
  EXPECT_EQ(ByteSize::FromFlag("1.5 MiB")->bytes, 3ull << 19);
  EXPECT_EQ(ByteSize::FromFlag("900MB")->bytes, 900'000'000u);
  EXPECT_EQ(ByteSize::FromFlag("2g")->bytes, 2'000'000'000u);
  EXPECT_EQ(ByteSize::FromFlag("1024")->bytes, 1024u);
  for (const char* bad : {"", "GiB", "-1GiB", "0", "4XB", "4GiBs", "nan", "inf", "1e300G", "4 4G",
                          "0.1"}) {
    EXPECT_FALSE(ByteSize::FromFlag(bad).ok()) << bad;
  }
}

TEST(MemoryBudget, RefusesTheFirstByteTooMany) {
  MemoryBudget budget(LimitsOf(100, 10));
  EXPECT_EQ(budget.free_bytes(), 90 * kMiB);
  auto weights = budget.Take("a/weights", 60 * kMiB);
  ASSERT_TRUE(weights.ok());
  EXPECT_FALSE(budget.Take("a/kv", 30 * kMiB + 1).ok());
  EXPECT_TRUE(budget.Take("a/kv", 30 * kMiB).ok());  // given back at once
  EXPECT_EQ(budget.held_bytes(), 60 * kMiB);
}

TEST(MemoryBudget, TheRefusalHasTheNumbersOnOneLine) {
  MemoryBudget budget(LimitsOf(100, 10));
  const auto kept = budget.Take("a/weights", 60 * kMiB);
  const std::string text = budget.Take("b/weights", 50 * kMiB).status().message();
  EXPECT_EQ(text, "b/weights needs 50 MiB of memory, but 30 MiB are free in the budget of 100 MiB "
                  "(--memory), 10 MiB of it reserved; held: a/weights 60 MiB");
}

TEST(MemoryBudget, WhatIsHeldComesBackOnceWhenMovedAndReplaced) {
  MemoryBudget budget(LimitsOf(100, 0));
  {
    MemoryBudget::Hold kept;
    {
      auto first = budget.Take("x", 10 * kMiB);
      kept = *std::move(first);
    }
    EXPECT_EQ(budget.held_bytes(), 10 * kMiB);
    auto second = budget.Take("x", 20 * kMiB);
    EXPECT_EQ(budget.Holders().at(0).second, 30 * kMiB);
    kept = *std::move(second);
  }
  EXPECT_EQ(budget.held_bytes(), 0u);
  EXPECT_TRUE(budget.Holders().empty());
}

TEST(MemoryBudget, ManyThreadsNeverHoldMoreThanThereIs) {
  MemoryBudget budget(LimitsOf(10, 0));
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 2000; ++i) {
          const auto hold = budget.Take("x", 4 * kMiB);
          EXPECT_LE(budget.held_bytes(), 8 * kMiB);
        }
      });
    }
  }
  EXPECT_EQ(budget.held_bytes(), 0u);
}

TEST(MemoryShare, LeavesTheOthersTheirWeightsAndAnEqualPart) {
  MemoryBudget budget(LimitsOf(400, 100));
  MemoryShare share{.budget = &budget, .owner = "a"};
  EXPECT_EQ(share.KvDefault(), 300 * kMiB);
  share.others = 2;
  share.others_bytes = 60 * kMiB;
  EXPECT_EQ(share.KvDefault(), 80 * kMiB);
  share.others_bytes = 301 * kMiB;
  EXPECT_EQ(share.KvDefault(), 0u);
  const auto hold = share.Take("kv", kMiB);
  EXPECT_EQ(budget.Holders().at(0).first, "a/kv");
}

TEST(MemoryBudget, LimitsComeFromTheOptionElseFromTheMachine) {
  const MemoryState group{.limit_bytes = 1024 * kMiB, .available_bytes = 500 * kMiB,
                          .resident_bytes = 20 * kMiB, .limited_by_cgroup = true};
  auto limits = MemoryBudget::ChooseLimits(0, group);
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->limit_bytes, 520 * kMiB);  // what others in the group hold is not ours
  EXPECT_EQ(limits->source, "cgroup");
  EXPECT_EQ(limits->reserve_bytes, MemoryBudget::ReserveOf(520 * kMiB));
  limits = MemoryBudget::ChooseLimits(300 * kMiB, group);
  EXPECT_EQ(limits->limit_bytes, 300 * kMiB);
  EXPECT_EQ(limits->source, "--memory");
  EXPECT_TRUE(MemoryBudget::ChooseLimits(1024 * kMiB, group).ok());
  EXPECT_FALSE(MemoryBudget::ChooseLimits(1024 * kMiB + 1, group).ok());
  EXPECT_FALSE(MemoryBudget::ChooseLimits(66 * kMiB, group).ok());  // the reserve is 66.06 MiB
  EXPECT_TRUE(MemoryBudget::ChooseLimits(67 * kMiB, group).ok());
  EXPECT_EQ(MemoryBudget::ReserveOf(uint64_t{1} << 40), 1024 * kMiB);
}

}  // namespace
}  // namespace pelton
