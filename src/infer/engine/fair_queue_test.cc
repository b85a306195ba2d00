#include "engine/fair_queue.h"

#include <gtest/gtest.h>

namespace pelton::engine {
namespace {

TEST(FairQueue, VirtualTimeGrowsByServedTokensOverWeight) {
  FairQueue queue;
  const int a = queue.Join("a", 1);
  const int b = queue.Join("b", 4);
  const double a_time = queue.VirtualTime(a), b_time = queue.VirtualTime(b);
  queue.Charge(a, 100);
  queue.Charge(b, 100);
  EXPECT_EQ(queue.VirtualTime(a) - a_time, 100);
  EXPECT_EQ(queue.VirtualTime(b) - b_time, 25);
  EXPECT_EQ(queue.Views()[static_cast<size_t>(b)].weight, 4);
}

TEST(FairQueue, WhoWasIdleSavedUpNothing) {
  FairQueue queue;
  const int busy = queue.Join("busy", 1);
  int idle = queue.Join("idle", 1);
  queue.Leave(idle);
  queue.Charge(busy, 1'000'000);
  const double now = queue.VirtualTime(busy);
  idle = queue.Join("idle", 1);
  EXPECT_EQ(queue.VirtualTime(idle), now - FairQueue::kLead);
  const int fresh = queue.Join("never seen", 2);
  EXPECT_EQ(queue.VirtualTime(fresh), now - FairQueue::kLead / 2);
  // The lead is had once: who leaves and comes again has what is left of it.
  queue.Charge(idle, 600);
  queue.Leave(idle);
  idle = queue.Join("idle", 1);
  EXPECT_EQ(queue.VirtualTime(idle), now - FairQueue::kLead + 600);
}

TEST(FairQueue, LeavingForAMomentDoesNotForgiveWhatWasTaken) {
  FairQueue queue;
  const int polite = queue.Join("polite", 1);
  int greedy = queue.Join("greedy", 1);
  queue.Charge(greedy, 100'000);
  const double greedy_time = queue.VirtualTime(greedy);
  queue.Leave(greedy);
  greedy = queue.Join("greedy", 1);
  EXPECT_EQ(queue.VirtualTime(greedy), greedy_time);
  // Once the others have caught up there is nothing left to remember.
  queue.Leave(greedy);
  queue.Charge(polite, 200'000);
  greedy = queue.Join("greedy", 1);
  EXPECT_EQ(queue.VirtualTime(greedy), queue.VirtualTime(polite) - FairQueue::kLead);
}

TEST(FairQueue, AnEmptyHouseForgetsEverything) {
  FairQueue queue;
  const int a = queue.Join("", 1);  // a tenant without a name is one like others
  queue.Charge(a, 1000);
  queue.Leave(a);
  EXPECT_EQ(queue.remembered(), 0u);
  EXPECT_EQ(queue.VirtualTime(queue.Join("", 1)), -FairQueue::kLead);
}

TEST(FairQueue, RemembersABoundedNumberOfThoseWhoLeft) {
  FairQueue queue;
  queue.Join("stays", 1);
  for (size_t i = 0; i < 2 * FairQueue::kAbsentMax; ++i) {
    const int t = queue.Join("t" + std::to_string(i), 1);
    queue.Charge(t, 1 + static_cast<double>(i));
    queue.Leave(t);
  }
  EXPECT_EQ(queue.remembered(), FairQueue::kAbsentMax + 1);
  EXPECT_LE(queue.Views().size(), FairQueue::kAbsentMax + 3);
}

TEST(FairQueue, KnowsWhetherSeveralTenantsCome) {
  FairQueue queue;
  for (int i = 0; i < 300; ++i) queue.Join("one", 1);
  EXPECT_FALSE(queue.several());
  queue.Join("other", 1);
  EXPECT_TRUE(queue.several());
  for (int i = 0; i < FairQueue::kSeveralJoins; ++i) queue.Join("one", 1);
  EXPECT_TRUE(queue.several());
  queue.Join("one", 1);
  EXPECT_FALSE(queue.several());
}

TEST(FairQueue, ATenantStaysWhileOneOfItsSequencesIsAlive) {
  FairQueue queue;
  const int a = queue.Join("a", 1);
  EXPECT_EQ(queue.Join("a", 1), a);
  queue.Leave(a);
  queue.Charge(a, 5);
  EXPECT_EQ(queue.VirtualTime(a), 5 - FairQueue::kLead);
  EXPECT_EQ(queue.Views()[static_cast<size_t>(a)].weight, 1);
  queue.Leave(a);
  EXPECT_EQ(queue.Views()[static_cast<size_t>(a)].weight, 0);
}

}  // namespace
}  // namespace pelton::engine
