#include "serving/admission.h"

#include <gtest/gtest.h>

#include <vector>

namespace pelton::serving {
namespace {

TEST(Admission, HoldsTheLimitOfSequencesExactly) {
  FakeClock clock;
  Admission admission({.sequences_max = 3, .tokens_max = 1000, .tenant_share = 1}, clock);
  auto a = admission.Admit("t", 2, 10);
  ASSERT_TRUE(a.ok());
  EXPECT_FALSE(admission.Admit("t", 2, 10).ok());
  auto b = admission.Admit("t", 1, 10);
  ASSERT_TRUE(b.ok());
  const auto refused = admission.Admit("t", 1, 10);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_GE(*refused.status().retry_after_ms(), 1000);
  a->Release();
  EXPECT_EQ(admission.sequences(), 1);
  EXPECT_TRUE(admission.Admit("t", 2, 10).ok());
}

TEST(Admission, HoldsTheLimitOfTokensButALoneRequestMayExceedIt) {
  FakeClock clock;
  Admission admission({.sequences_max = 10, .tokens_max = 100, .tenant_share = 1}, clock);
  {
    auto big = admission.Admit("t", 1, 500);
    ASSERT_TRUE(big.ok());
    EXPECT_FALSE(admission.Admit("t", 1, 1).ok());
  }
  auto a = admission.Admit("t", 1, 60);
  ASSERT_TRUE(a.ok());
  EXPECT_FALSE(admission.Admit("t", 1, 41).ok());
  EXPECT_TRUE(admission.Admit("t", 1, 40).ok());
}

TEST(Admission, ATenantMayHoldItsShareOnlyWhileOthersAreThere) {
  FakeClock clock;
  Admission admission({.sequences_max = 10, .tokens_max = 1000, .tenant_share = 0.5}, clock);
  std::vector<Result<Ticket>> mine;
  for (int i = 0; i < 6; ++i) mine.push_back(admission.Admit("greedy", 1, 1));
  EXPECT_TRUE(mine.back().ok());  // nobody else is there
  auto other = admission.Admit("polite", 1, 1);
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE(admission.Admit("greedy", 1, 1).ok());
  EXPECT_TRUE(admission.Admit("polite", 1, 1).ok());
  other->Release();
}

TEST(Admission, RetryAfterFollowsTheMeasuredRate) {
  FakeClock clock;
  Admission admission({.sequences_max = 1, .tokens_max = 1000, .tenant_share = 1}, clock);
  for (int i = 0; i < 60; ++i) {
    auto ticket = admission.Admit("t", 1, 1);
    ASSERT_TRUE(ticket.ok());
    clock.AdvanceNs(20'000'000'000);
  }
  auto ticket = admission.Admit("t", 1, 1);
  const int64_t retry_ms = *admission.Admit("t", 1, 1).status().retry_after_ms();
  EXPECT_GT(retry_ms, 15'000);
  EXPECT_LE(retry_ms, 21'000);
}

TEST(Admission, ClosedRefusesAsUnavailableAndMovedTicketsGiveBackOnce) {
  FakeClock clock;
  Admission admission({}, clock);
  auto a = admission.Admit("t", 2, 5);
  Ticket moved = *std::move(a);
  Ticket again = std::move(moved);
  again.Release();
  again.Release();
  EXPECT_EQ(admission.sequences(), 0);
  EXPECT_EQ(admission.tokens(), 0);
  admission.Close();
  EXPECT_EQ(admission.Admit("t", 1, 1).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace pelton::serving
