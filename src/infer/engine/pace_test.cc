#include "engine/pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/random.h"

namespace pelton::engine {
namespace {

constexpr int64_t kMs = 1'000'000;

// A machine whose steps take 5 ms + 1 ms a decoding row + 0.5 ms a prompt row.
int64_t StepNs(const StepShape& s) {
  return 5 * kMs + s.decode_rows * kMs + s.prompt_rows * kMs / 2;
}

StepShape Decodes(int rows) {
  return {.decode_rows = rows, .decode_attended = rows * 100};
}

StepShape Mixed(int decode_rows, int prompt_rows) {
  StepShape s = Decodes(decode_rows);
  s.prompt_rows = prompt_rows;
  s.prompt_attended = prompt_rows * (prompt_rows + 1) / 2;
  return s;
}

// Lets a prompt be computed beside `decode_rows` for `steps` steps; gives the longest of them.
int64_t LongestStep(Pace& pace, int decode_rows, int steps,
                    const std::function<int64_t(const StepShape&)>& step_ns) {
  int64_t longest_ns = 0;
  for (int i = 0; i < steps; ++i) {
    const StepShape shape = Mixed(decode_rows, pace.PromptRows(Decodes(decode_rows), 0));
    const int64_t ns = step_ns(shape);
    pace.Observe(shape, ns);
    longest_ns = std::max(longest_ns, ns);
  }
  return longest_ns;
}

TEST(StepTimeModel, FindsWhatStepsCost) {
  StepTimeModel model;
  Random random(1);
  for (int i = 0; i < 100; ++i) {
    const StepShape s = Mixed(static_cast<int>(random.Below(20)), static_cast<int>(random.Below(200)));
    model.Observe(s, StepNs(s));
  }
  for (const StepShape& s : {Decodes(1), Decodes(16), Mixed(8, 40), Mixed(0, 200)}) {
    EXPECT_NEAR(static_cast<double>(model.PredictNs(s)), static_cast<double>(StepNs(s)),
                0.05 * static_cast<double>(StepNs(s)));
  }
}

TEST(StepTimeModel, NeverForeseesLessForMore) {
  StepTimeModel model;
  // Times that fall with the rows: no honest machine, but clocks and neighbours do odd things.
  for (int i = 1; i < 60; ++i) model.Observe(Mixed(i % 10, i), (100 - i) * kMs);
  EXPECT_GE(model.PredictNs(Mixed(20, 400)), model.PredictNs(Mixed(1, 1)));
  EXPECT_GE(model.PredictNs({}), 0);
}

TEST(StepTimeModel, AStepDisturbedFromOutsideCountsLittle) {
  StepTimeModel model;
  for (int i = 0; i < 50; ++i) model.Observe(Decodes(4), StepNs(Decodes(4)));
  model.Observe(Decodes(4), 5'000 * kMs);
  EXPECT_LT(model.PredictNs(Decodes(4)), 2 * StepNs(Decodes(4)));
  model.Observe(Decodes(4), -1);  // a clock that stands still or goes back says nothing
  model.Observe(Decodes(4), 0);
  EXPECT_LT(model.PredictNs(Decodes(4)), 2 * StepNs(Decodes(4)));
}

TEST(Pace, TheTargetIsTwiceAStepThatOnlyDecodesButAtLeastFortyMs) {
  Pace pace(0);
  for (int i = 0; i < 60; ++i) pace.Observe(Decodes(8), StepNs(Decodes(8)));
  pace.PromptRows(Decodes(8), 0);
  EXPECT_EQ(pace.target_ns(), Pace::kTargetMinNs);  // 13 ms a step
  for (int i = 0; i < 200; ++i) pace.Observe(Decodes(45), StepNs(Decodes(45)));
  pace.PromptRows(Decodes(45), 0);
  EXPECT_NEAR(static_cast<double>(pace.target_ns()), 100. * kMs, 5. * kMs);
  Pace fixed(70 * kMs);
  fixed.PromptRows(Decodes(8), 0);
  EXPECT_EQ(fixed.target_ns(), 70 * kMs);
}

TEST(Pace, MixedStepsComeNearTheTargetAndNotBeyond) {
  Pace pace(100 * kMs);
  for (int i = 0; i < 20; ++i) pace.Observe(Decodes(8), StepNs(Decodes(8)));
  EXPECT_LE(LongestStep(pace, 8, 40, StepNs), 110 * kMs);
  // 87 ms are left, and 0.5 ms a row: most of them are used.
  EXPECT_GE(pace.PromptRows(Decodes(8), 0), 120);
  EXPECT_LE(pace.PromptRows(Decodes(8), 0), 174);
}

TEST(Pace, WhatATenantIsOwedMayTakeALittleMore) {
  Pace pace(100 * kMs);
  LongestStep(pace, 8, 60, StepNs);
  const int rows = pace.PromptRows(Decodes(8), 0);
  const int owed = pace.PromptRows(Decodes(8), 0, /*owed=*/true);
  EXPECT_GT(owed, rows);
  EXPECT_LE(StepNs(Mixed(8, owed)), 125 * kMs);
}

TEST(Pace, AGeneratedTokenCostsWhatItsRowTakes) {
  Pace pace(0);
  EXPECT_EQ(pace.GeneratedCost(Decodes(4)), Pace::kGeneratedCostMin);
  LongestStep(pace, 4, 40, StepNs);
  LongestStep(pace, 1, 40, StepNs);
  // 5 ms + 1 ms a row; half a millisecond a prompt row.
  EXPECT_NEAR(pace.GeneratedCost(Decodes(1)), 12, 1.5);
  EXPECT_NEAR(pace.GeneratedCost(Decodes(10)), 3, 0.5);
  EXPECT_EQ(pace.GeneratedCost({}), Pace::kGeneratedCostMin);
}

TEST(Pace, StartsSmallWhenNothingIsKnown) {
  Pace pace(100 * kMs);
  EXPECT_LE(pace.PromptRows(Decodes(8), 0), Pace::kRowsFirst);
  // Prompts alone were cheap a row, but beside decoding rows nothing has been tried.
  for (int i = 0; i < 5; ++i) pace.Observe(Mixed(0, 512), 5 * kMs);
  EXPECT_LE(pace.PromptRows(Decodes(8), 0), Pace::kRowsFirst);
}

TEST(Pace, NeverStarvesPrompts) {
  Pace pace(1);  // a nanosecond
  EXPECT_GE(LongestStep(pace, 8, 40, StepNs), StepNs(Mixed(8, Pace::kRowsMin)));
  EXPECT_EQ(pace.PromptRows(Decodes(8), 0), Pace::kRowsMin);
}

TEST(Pace, FollowsAMachineThatGetsSlower) {
  Pace pace(100 * kMs);
  LongestStep(pace, 8, 100, StepNs);
  const auto slower = [](const StepShape& s) { return 2 * StepNs(s); };
  LongestStep(pace, 8, 40, slower);
  EXPECT_LE(LongestStep(pace, 8, 40, slower), 115 * kMs);
  EXPECT_LE(pace.PromptRows(Decodes(8), 0), 80);
}

TEST(Pace, LongContextsMakePartsSmaller) {
  const auto step_ns = [](const StepShape& s) {
    return StepNs(s) + s.prompt_attended * 200;  // 0.2 µs a position
  };
  Pace pace(100 * kMs);
  int64_t longest_ns = 0;
  int position = 0;
  int rows = 0;
  for (int i = 0; i < 400; ++i) {
    StepShape shape = Decodes(8);
    rows = pace.PromptRows(shape, position);
    shape.prompt_rows = rows;
    shape.prompt_attended = int64_t{rows} * position + int64_t{rows} * (rows + 1) / 2;
    const int64_t ns = step_ns(shape);
    pace.Observe(shape, ns);
    longest_ns = std::max(longest_ns, ns);
    position += rows;
  }
  EXPECT_GT(position, 8000);
  EXPECT_LT(rows, 60);
  EXPECT_LE(longest_ns, 115 * kMs);
}

}  // namespace
}  // namespace pelton::engine
