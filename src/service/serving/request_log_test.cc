#include "serving/request_log.h"

#include <gtest/gtest.h>

#include "serving/model_measure.h"

namespace pelton::serving {
namespace {

TEST(Timings, SumsWaitsAndTakesTheFirstTokenOfTheFirst) {
  Timings t;
  t.Add({.prompt_tokens = 10, .completion_tokens = 3, .queue_ns = 4'000'000,
         .first_token_ns = 9'000'000, .total_ns = 20'000'000, .decode_steps = 2,
         .prompt_chunks = 1, .preemptions = 1, .wait_places_ns = 1'000'000});
  t.Add({.prompt_tokens = 10, .completion_tokens = 5, .cached_tokens = 8, .queue_ns = 1'000'000,
         .first_token_ns = 3'000'000, .total_ns = 15'000'000, .decode_steps = 4,
         .prompt_chunks = 2, .wait_places_ns = 2'000'000, .wait_reader_ns = 500'000});
  t.Complete(5);
  EXPECT_EQ(t.sequences, 2);
  EXPECT_EQ(t.prompt_tokens, 20);
  EXPECT_EQ(t.cached_tokens, 8);
  EXPECT_EQ(t.completion_tokens, 8);
  EXPECT_DOUBLE_EQ(t.prepare_ms, 5);
  EXPECT_DOUBLE_EQ(t.queue_ms, 1);
  EXPECT_DOUBLE_EQ(t.prefill_ms, 2);
  EXPECT_DOUBLE_EQ(t.first_token_ms, 8);
  EXPECT_DOUBLE_EQ(t.decode_ms, 17);
  EXPECT_DOUBLE_EQ(t.total_ms, 25);
  EXPECT_EQ(t.decode_steps, 6);
  EXPECT_EQ(t.prompt_chunks, 3);
  EXPECT_EQ(t.preemptions, 1);
  EXPECT_DOUBLE_EQ(t.wait_places_ms, 3);
  EXPECT_DOUBLE_EQ(t.wait_reader_ms, 0.5);
}

TEST(Timings, WhatNeverBeganWasQueuedAllTheTime) {
  Timings t;
  t.Add({.prompt_tokens = 10, .total_ns = 7'000'000});
  t.Complete(1);
  EXPECT_DOUBLE_EQ(t.queue_ms, 7);
  EXPECT_DOUBLE_EQ(t.first_token_ms, 0);
  EXPECT_DOUBLE_EQ(t.total_ms, 8);
}

TEST(RequestLog, KeepsTheLastThousandNewestFirstByTenant) {
  RequestLog log;
  for (int i = 0; i < 1500; ++i) {
    log.Add({.id = std::to_string(i), .tenant = i % 2 == 0 ? "even" : "odd"});
  }
  const auto all = log.Last({}, 5000);
  ASSERT_EQ(all.size(), RequestLog::kRecordsMax);
  EXPECT_EQ(all.front().id, "1499");
  EXPECT_EQ(all.back().id, "500");
  const auto even = log.Last("even", 3);
  ASSERT_EQ(even.size(), 3u);
  EXPECT_EQ(even[0].id, "1498");
  EXPECT_EQ(even[2].id, "1494");
  EXPECT_TRUE(log.Last("nobody", 10).empty());
}

TEST(ModelMeasure, FollowsWhatItSees) {
  ModelMeasure measure;
  EXPECT_EQ(measure.TokensOfBytes(0), 0);
  for (int i = 0; i < 200; ++i) {
    measure.Tokenized(300, 100);
    measure.Answered(20);
  }
  EXPECT_NEAR(static_cast<double>(measure.TokensOfBytes(3000)), 1000, 2);
  EXPECT_NEAR(static_cast<double>(measure.ExpectedAnswer()), 20, 1);
  // Odd values neither break nor rule it.
  measure.Tokenized(0, 5);
  measure.Tokenized(5, 0);
  measure.Tokenized(size_t{1} << 40, 1);
  EXPECT_GT(measure.TokensOfBytes(3000), 300);
  measure.Answered(0);
  EXPECT_NEAR(static_cast<double>(measure.ExpectedAnswer()), 20, 1);
}

}  // namespace
}  // namespace pelton::serving
