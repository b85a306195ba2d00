// One step's rows as the model wants them: plain arrays, reused from step to step.
// Owned by the engine thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/pace.h"
#include "engine/sequence.h"
#include "models/model.h"

namespace pelton::engine {

class Batch {
 public:
  explicit Batch(int vocab_size) : vocab_size_(vocab_size) {}

  void Clear();
  // The next `sequence.rows` rows of a sequence, from its first position without KV, and its draft's
  // behind them. It takes part in sampling when they are its last.
  void Add(Sequence& sequence, bool decodes);

  bool empty() const { return members_.empty(); }
  models::BatchView View() const {
    return {.tokens = tokens_, .sequences = rows_, .logit_rows = logit_rows_};
  }
  std::span<Sequence* const> members() const { return members_; }
  std::span<Sequence* const> sampled() const { return sampled_; }
  int rows() const { return static_cast<int>(tokens_.size()); }
  const StepShape& shape() const { return shape_; }

  std::span<float> Logits();  // [logit rows, vocab]; grows to the largest batch seen
  // Of sampled()[i] after draft token j - 1 (0: after its last own token); after Logits().
  std::span<float> LogitsOf(size_t i, size_t j);

 private:
  const int vocab_size_;
  std::vector<int32_t> tokens_;
  std::vector<models::SequenceRows> rows_;
  std::vector<int32_t> logit_rows_;
  std::vector<Sequence*> members_;
  std::vector<Sequence*> sampled_;
  std::vector<size_t> first_logits_;  // of each: its first in logit_rows_
  StepShape shape_;
  std::unique_ptr<float[]> logits_;
  size_t logits_rows_held_ = 0;
};

}  // namespace pelton::engine
