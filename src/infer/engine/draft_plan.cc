#include "engine/draft_plan.h"

#include <algorithm>
#include <cmath>

namespace pelton::engine {

namespace {

constexpr double kFade = 0.99;          // of the sums, a step: about the last hundred count
constexpr double kPriorLeverage = 64;   // as much spread of rows as eight steps of 1 and one of 9 have
constexpr double kSlowestCounted = 4;   // times the mean: a step that lost its core counts as that
constexpr double kTrustedWeight = 8;    // steps after which a mean is one
constexpr double kMargin = 1.25;        // a guess must be worth its price by so much

}  // namespace

void StepCost::Observe(int rows, int64_t ns) {
  if (rows < 1 || rows > kRowsMax || ns <= 0) return;
  auto time = static_cast<double>(ns);
  if (weight_ > kTrustedWeight) time = std::min(time, kSlowestCounted * ns_ / weight_);
  for (double* sum : {&weight_, &rows_, &rows_rows_, &ns_, &rows_ns_}) *sum *= kFade;
  weight_ += 1;
  rows_ += rows;
  rows_rows_ += static_cast<double>(rows) * rows;
  ns_ += time;
  rows_ns_ += rows * time;
}

// Least squares, drawn towards the prior on a logarithmic scale when the rows have varied little.
double StepCost::RowCost() const {
  if (weight_ <= 0) return kPrior;
  const double mean_rows = rows_ / weight_, mean_ns = ns_ / weight_;
  const double leverage = std::max(0., rows_rows_ - rows_ * mean_rows);
  if (leverage <= 1e-6) return kPrior;
  const double slope = (rows_ns_ - rows_ * mean_ns) / leverage;
  const double fixed = mean_ns - slope * mean_rows;
  const double fitted = slope <= 0   ? kCostMin
                        : fixed <= 0 ? kCostMax
                                     : std::clamp(slope / fixed, kCostMin, kCostMax);
  return std::exp((leverage * std::log(fitted) + kPriorLeverage * std::log(kPrior)) /
                  (leverage + kPriorLeverage));
}

// Row by row to the offer with the best next chance, until that is not worth a row. In units of the
// step's fixed time a step of r rows takes 1 + cost · r and is worth the tokens it is expected to
// give (prompt rows count too: they would be work of the next step). One more row with chance p
// raises worth / time when p / cost > worth / time.
void ShareDraftRows(const DraftInput& input, std::vector<int>* rows) {
  rows->assign(input.offers.size(), 0);
  int free_blocks = input.free_blocks;
  double worth = input.planned_rows;
  for (int total = input.planned_rows; total < input.rows_max; ++total) {
    const double price = kMargin * input.row_cost * worth / (1 + input.row_cost * total);
    double best_chance = price;
    size_t best = input.offers.size();
    int best_blocks = 0;
    for (size_t i = 0; i < input.offers.size(); ++i) {
      const DraftOffer& offer = input.offers[i];
      const int given = (*rows)[i];
      if (given >= std::min(offer.rows, kDraftMax)) continue;
      const int blocks = DraftBlocks(given + 1, offer.room, input.block_tokens) -
                         DraftBlocks(given, offer.room, input.block_tokens);
      const double chance = static_cast<double>(offer.chance[static_cast<size_t>(given)]);
      if (blocks > free_blocks || chance <= best_chance) continue;
      best = i;
      best_chance = chance;
      best_blocks = blocks;
    }
    if (best == input.offers.size()) return;
    ++(*rows)[best];
    free_blocks -= best_blocks;
    worth += best_chance;
  }
}

}  // namespace pelton::engine
