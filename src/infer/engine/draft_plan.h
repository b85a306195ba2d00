// How many guessed tokens each sequence of a step may try: a pure function, like the scheduler's
// plan that it adds to. A guess is one more row of the step. Rows are nearly free while the step is
// bound by reading weights and dear when it is bound by arithmetic, so what a row costs is measured
// (StepCost), and a guess is tried when its chance is worth that: the larger the batch, the fewer.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/drafter.h"

namespace pelton::engine {

// Time of a step as fixed + rows · slope, fitted to the steps seen; older ones fade. Until rows have
// varied enough it answers with a prior, and falls back to it when they no longer vary.
class StepCost {
 public:
  static constexpr int kRowsMax = 64;        // steps with more rows say nothing about drafts
  static constexpr double kPrior = 1. / 8;   // a guess at the guess's price: AVX2 is near 1/4
  static constexpr double kCostMin = 1. / 512, kCostMax = 8;

  void Observe(int rows, int64_t ns);  // ns ≤ 0 (a clock that stands) is ignored
  double RowCost() const;              // slope / fixed, within the bounds above

 private:
  double weight_ = 0, rows_ = 0, rows_rows_ = 0, ns_ = 0, rows_ns_ = 0;  // faded sums
};

// A sequence of the step with a draft.
struct DraftOffer {
  int rows = 0;             // tokens of its draft
  int room = 0;             // rows that still fit into the blocks it will hold anyway
  std::array<float, kDraftMax> chance{};  // that token i and all before it are right
};

struct DraftInput {
  std::span<const DraftOffer> offers{};
  int planned_rows = 0;  // of the step without drafts
  int rows_max = 0;      // of the step with them
  int free_blocks = 0;   // that the plan leaves
  int block_tokens = 0;
  double row_cost = 0;   // StepCost::RowCost
};

// Replaces *rows: those of each offer. Never more rows or blocks than there are.
void ShareDraftRows(const DraftInput& input, std::vector<int>* rows);

// Blocks that `rows` draft rows need beyond those that the sequence will hold anyway.
inline int DraftBlocks(int rows, int room, int block_tokens) {
  return rows <= room ? 0 : (rows - room + block_tokens - 1) / block_tokens;
}

}  // namespace pelton::engine
