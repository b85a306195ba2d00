#include "engine/draft_plan.h"

#include <gtest/gtest.h>

#include <numeric>

namespace pelton::engine {
namespace {

// A draft of `rows` tokens, each right with `chance` when those before it are.
DraftOffer Offer(int rows, double chance, int room = 100) {
  DraftOffer offer{.rows = rows, .room = room};
  double all = 1;
  for (int i = 0; i < rows; ++i) offer.chance[i] = static_cast<float>(all *= chance);
  return offer;
}

std::vector<int> RowsOf(const std::vector<DraftOffer>& offers, DraftInput input) {
  input.offers = offers;
  std::vector<int> rows{9, 9, 9, 9, 9};  // left-overs must vanish
  ShareDraftRows(input, &rows);
  EXPECT_EQ(rows.size(), offers.size());
  return rows;
}

constexpr DraftInput kOneStream{.planned_rows = 1, .rows_max = 32, .free_blocks = 9,
                                .block_tokens = 16, .row_cost = 1. / 16};

TEST(DraftPlan, ASureDraftIsTriedWhole) {
  EXPECT_EQ(RowsOf({Offer(15, 0.98)}, kOneStream), std::vector<int>{15});
}

TEST(DraftPlan, ADraftEndsWhereItsChanceIsNoLongerWorthARow) {
  EXPECT_EQ(RowsOf({Offer(15, 0.5)}, kOneStream), std::vector<int>{3});
  EXPECT_EQ(RowsOf({Offer(15, 0.05)}, kOneStream), std::vector<int>{0});
  // Where rows are dear, sooner.
  DraftInput dear = kOneStream;
  dear.row_cost = 1;
  EXPECT_EQ(RowsOf({Offer(15, 0.5)}, dear), std::vector<int>{0});
}

TEST(DraftPlan, ThePromisingSequenceComesFirst) {
  DraftInput two = kOneStream;
  two.planned_rows = 2;
  two.rows_max = 8;
  EXPECT_EQ(RowsOf({Offer(15, 0.8), Offer(15, 0.95)}, two), (std::vector<int>{1, 5}));
}

TEST(DraftPlan, NeverMoreRowsThanTheStepMayHave) {
  for (int rows_max = 0; rows_max < 20; ++rows_max) {
    DraftInput input = kOneStream;
    input.rows_max = rows_max;
    EXPECT_EQ(RowsOf({Offer(15, 1)}, input), std::vector<int>{std::clamp(rows_max - 1, 0, 15)});
  }
}

TEST(DraftPlan, NeverMoreBlocksThanAreFree) {
  DraftInput input = kOneStream;
  input.free_blocks = 0;
  EXPECT_EQ(RowsOf({Offer(15, 1, /*room=*/3)}, input), std::vector<int>{3});
  EXPECT_EQ(RowsOf({Offer(15, 1, /*room=*/0)}, input), std::vector<int>{0});
  input.free_blocks = 1;
  EXPECT_EQ(RowsOf({Offer(15, 1, 3), Offer(15, 0.99, 3)}, input), (std::vector<int>{15, 3}));
  input.block_tokens = 4;
  EXPECT_EQ(RowsOf({Offer(15, 1, 3)}, input), std::vector<int>{7});
}

// Why it withdraws: with every sequence the step earns more a row, until a guess that costs a row
// is worth less than the row.
TEST(DraftPlan, TheLargerTheBatchTheFewerGuesses) {
  int before = 1000;
  for (const int batch : {1, 2, 4, 8, 16, 24, 31, 32}) {
    DraftInput input = kOneStream;
    input.planned_rows = batch;
    input.row_cost = 1. / 8;
    const auto rows = RowsOf(std::vector<DraftOffer>(batch, Offer(15, 0.7)), input);
    const int each = std::accumulate(rows.begin(), rows.end(), 0) * 100 / batch;
    EXPECT_LE(each, before) << batch;
    before = each;
  }
  EXPECT_EQ(before, 0);
}

TEST(DraftPlan, AStepFullOfPromptRowsHasNoDrafts) {
  DraftInput input = kOneStream;
  input.planned_rows = 32;
  EXPECT_EQ(RowsOf({Offer(15, 1)}, input), std::vector<int>{0});
}

TEST(StepCost, AnswersWithThePriorUntilRowsHaveVaried) {
  StepCost cost;
  EXPECT_DOUBLE_EQ(cost.RowCost(), StepCost::kPrior);
  for (int i = 0; i < 1000; ++i) cost.Observe(1, 5000);
  EXPECT_DOUBLE_EQ(cost.RowCost(), StepCost::kPrior);
  cost.Observe(8, 0);  // a clock that stands
  EXPECT_DOUBLE_EQ(cost.RowCost(), StepCost::kPrior);
}

TEST(StepCost, LearnsWhatARowCosts) {
  for (const double ratio : {0.01, 0.25, 1.}) {
    StepCost cost;
    for (int i = 0; i < 400; ++i) {
      const int rows = 1 + i % 9;
      cost.Observe(rows, static_cast<int64_t>(1e6 * (1 + ratio * rows)));
    }
    EXPECT_NEAR(cost.RowCost() / ratio, 1, 0.35) << ratio;
  }
}

TEST(StepCost, AnswersStayWithinTheirBounds) {
  StepCost falling, rising;
  for (int i = 0; i < 400; ++i) {
    const int rows = 1 + i % 16;
    falling.Observe(rows, 1'000'000 - rows * 1000);
    rising.Observe(rows, rows * rows * 1000);
  }
  EXPECT_GE(falling.RowCost(), StepCost::kCostMin);
  EXPECT_LE(falling.RowCost(), StepCost::kPrior);
  EXPECT_LE(rising.RowCost(), StepCost::kCostMax);
  EXPECT_GE(rising.RowCost(), StepCost::kPrior);
}

TEST(StepCost, AStepThatLostItsCoreChangesLittle) {
  StepCost cost;
  const auto time = [](int rows) { return static_cast<int64_t>(1e6 * (1 + 0.1 * rows)); };
  for (int i = 0; i < 300; ++i) cost.Observe(1 + i % 9, time(1 + i % 9));
  const double before = cost.RowCost();
  cost.Observe(5, 1'000'000'000);
  EXPECT_NEAR(cost.RowCost() / before, 1, 0.2);
}

TEST(StepCost, ForgetsWhatItLearnedWhenRowsNoLongerVary) {
  StepCost cost;
  for (int i = 0; i < 300; ++i) cost.Observe(1 + i % 9, 1'000'000 * (1 + i % 9));
  EXPECT_GT(cost.RowCost(), 1);
  for (int i = 0; i < 2000; ++i) cost.Observe(1, 1'000'000);
  EXPECT_NEAR(cost.RowCost(), StepCost::kPrior, 0.02);
}

}  // namespace
}  // namespace pelton::engine
