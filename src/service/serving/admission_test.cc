#include "serving/admission.h"

#include <gtest/gtest.h>

#include <vector>

namespace pelton::serving {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

Ask Want(std::string tenant, int sequences, int64_t tokens) {
  return {.tenant = std::move(tenant), .model = "m", .sequences = sequences,
          .prompt_tokens = tokens};
}

TEST(Admission, HoldsTheLimitOfSequencesExactly) {
  FakeClock clock;
  Admission admission({.sequences_max = 3, .tokens_max = 1000, .tenant_share = 1}, clock);
  auto a = admission.Admit(Want("t", 2, 10));
  ASSERT_TRUE(a.ok());
  EXPECT_FALSE(admission.Admit(Want("t", 2, 10)).ok());
  auto b = admission.Admit(Want("t", 1, 10));
  ASSERT_TRUE(b.ok());
  const auto refused = admission.Admit(Want("t", 1, 10));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_GE(*refused.status().retry_after_ms(), 1000);
  a->Release();
  EXPECT_EQ(admission.sequences(), 1);
  EXPECT_TRUE(admission.Admit(Want("t", 2, 10)).ok());
}

TEST(Admission, HoldsTheLimitOfTokensButALoneRequestMayExceedIt) {
  FakeClock clock;
  Admission admission({.sequences_max = 10, .tokens_max = 100, .tenant_share = 1}, clock);
  {
    auto big = admission.Admit(Want("t", 1, 500));
    ASSERT_TRUE(big.ok());
    EXPECT_FALSE(admission.Admit(Want("t", 1, 1)).ok());
  }
  auto a = admission.Admit(Want("t", 1, 60));
  ASSERT_TRUE(a.ok());
  EXPECT_FALSE(admission.Admit(Want("t", 1, 41)).ok());
  EXPECT_TRUE(admission.Admit(Want("t", 1, 40)).ok());
}

TEST(Admission, ATenantMayHoldItsShareOnlyWhileOthersAreThere) {
  FakeClock clock;
  Admission admission({.sequences_max = 10, .tokens_max = 1000, .tenant_share = 0.5}, clock);
  std::vector<Result<Ticket>> mine;
  for (int i = 0; i < 6; ++i) mine.push_back(admission.Admit(Want("greedy", 1, 1)));
  EXPECT_TRUE(mine.back().ok());  // nobody else is there
  auto other = admission.Admit(Want("polite", 1, 1));
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE(admission.Admit(Want("greedy", 1, 1)).ok());
  EXPECT_TRUE(admission.Admit(Want("polite", 1, 1)).ok());
  other->Release();
}

TEST(Admission, RetryAfterFollowsTheMeasuredRate) {
  FakeClock clock;
  Admission admission({.sequences_max = 1, .tokens_max = 1000, .tenant_share = 1}, clock);
  for (int i = 0; i < 60; ++i) {
    auto ticket = admission.Admit(Want("t", 1, 1));
    ASSERT_TRUE(ticket.ok());
    clock.AdvanceNs(20'000'000'000);
  }
  auto ticket = admission.Admit(Want("t", 1, 1));
  const int64_t retry_ms = *admission.Admit(Want("t", 1, 1)).status().retry_after_ms();
  EXPECT_GT(retry_ms, 15'000);
  EXPECT_LE(retry_ms, 21'000);
}

TEST(Admission, ClosedRefusesAsUnavailableAndMovedTicketsGiveBackOnce) {
  FakeClock clock;
  Admission admission({}, clock);
  auto a = admission.Admit(Want("t", 2, 5));
  Ticket moved = *std::move(a);
  Ticket again = std::move(moved);
  again.Release();
  again.Release();
  EXPECT_EQ(admission.sequences(), 0);
  EXPECT_EQ(admission.tokens(), 0);
  admission.Close();
  EXPECT_EQ(admission.Admit(Want("t", 1, 1)).status().code(), StatusCode::kUnavailable);
}

TEST(Admission, TheModelsPlacesAreABoundAndSomeAreKeptForOtherTenants) {
  FakeClock clock;
  const auto ask = [](const char* tenant) {
    Ask a = Want(tenant, 1, 1);
    a.sequences_max = 16;
    return a;
  };
  for (const bool several : {false, true}) {
    Admission admission({.tenant_share = 1, .several_tenants = several}, clock);
    std::vector<Result<Ticket>> greedy;
    while (greedy.empty() || greedy.back().ok()) greedy.push_back(admission.Admit(ask("greedy")));
    EXPECT_EQ(greedy.size(), several ? 15u : 17u);  // with the refused one
    EXPECT_EQ(admission.Admit(ask("polite")).ok(), several);
    EXPECT_EQ(admission.refused(), several ? 1u : 2u);
  }
}

TEST(Admission, WorkBeyondTheKvCacheIsBounded) {
  FakeClock clock;
  Admission admission({.tenant_share = 1, .kv_times_max = 2}, clock);
  Ask ask = Want("t", 1, 10);
  ask.kv_tokens = 500;
  ask.kv_tokens_max = 1000;
  std::vector<Result<Ticket>> tickets;
  for (int i = 0; i < 4; ++i) tickets.push_back(admission.Admit(ask));
  EXPECT_TRUE(tickets.back().ok());
  const auto refused = admission.Admit(ask);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("KV"), std::string::npos);
  tickets.clear();
  ask.kv_tokens = 5000;  // more than the bound: alone it is let in
  EXPECT_TRUE(admission.Admit(ask).ok());
}

TEST(Admission, SettlingMendsTheEstimateAndMayRefuse) {
  FakeClock clock;
  Admission admission({.sequences_max = 10, .tokens_max = 100, .tenant_share = 1}, clock);
  auto a = admission.Admit(Want("t", 1, 60));
  ASSERT_TRUE(a.ok());
  EXPECT_TRUE(a->Settle(20, 30).ok());
  EXPECT_EQ(admission.tokens(), 20);
  EXPECT_EQ(admission.queued_tokens("m"), 20);
  auto b = admission.Admit(Want("t", 1, 10));
  ASSERT_TRUE(b.ok());
  EXPECT_EQ(b->Settle(90, 90).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(admission.tokens(), 20);  // nothing of the refused one is left
  EXPECT_EQ(admission.sequences(), 1);
  EXPECT_EQ(admission.queued_tokens("m"), 20);
}

// A model that computes 1000 prompt tokens a second.
class Queue : public ::testing::Test {
 protected:
  void Measure() {
    for (int i = 0; i < 20; ++i) {
      auto ticket = admission_.Admit(Want("t", 1, 500));
      clock_.AdvanceNs(kSecondNs / 2);
      ticket->Started(500);
    }
    ASSERT_NEAR(admission_.PromptRate("m"), 1000, 1);
  }
  FakeClock clock_;
  Admission admission_{{.tenant_share = 1, .queue_s_max = 2}, clock_};
};

TEST_F(Queue, TheWaitAtTheMeasuredRateIsBounded) {
  Measure();
  std::vector<Result<Ticket>> tickets;
  for (int i = 0; i < 5; ++i) tickets.push_back(admission_.Admit(Want("t", 1, 500)));
  EXPECT_TRUE(tickets.back().ok());  // 2 s of work before it
  const auto refused = admission_.Admit(Want("t", 1, 500));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_GE(*refused.status().retry_after_ms(), 1000);
  // The urgent do not wait in that queue, and another tenant waits for its own turn only.
  Ask urgent = Want("t", 1, 500);
  urgent.urgent = true;
  EXPECT_TRUE(admission_.Admit(urgent).ok());
  EXPECT_TRUE(admission_.Admit(Want("polite", 1, 500)).ok());
  // Idle time is not a slow rate.
  for (auto& ticket : tickets) ticket->Started(500);
  clock_.AdvanceNs(3600 * kSecondNs);
  EXPECT_TRUE(admission_.Admit(Want("t", 1, 500)).ok());
}

TEST_F(Queue, WhatCannotBeginBeforeItsDeadlineIsRefusedAtOnce) {
  Measure();
  auto ahead = admission_.Admit(Want("t", 1, 1000));
  Ask ask = Want("t", 1, 500);
  ask.deadline_ns = clock_.NowNs() + kSecondNs / 2;
  EXPECT_EQ(admission_.Admit(ask).status().code(), StatusCode::kResourceExhausted);
  ask.deadline_ns = clock_.NowNs() + 2 * kSecondNs;
  EXPECT_TRUE(admission_.Admit(ask).ok());
}

TEST_F(Queue, BeforeAnythingIsMeasuredNothingIsRefusedForTime) {
  std::vector<Result<Ticket>> tickets;
  for (int i = 0; i < 100; ++i) tickets.push_back(admission_.Admit(Want("t", 1, 5000)));
  EXPECT_TRUE(tickets.back().ok());
}

}  // namespace
}  // namespace pelton::serving
