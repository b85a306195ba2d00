#include "engine/batch.h"

#include <algorithm>
#include <bit>

#include "engine/loop.h"

namespace pelton::engine {

void Batch::Clear() {
  tokens_.clear();
  rows_.clear();
  logit_rows_.clear();
  members_.clear();
  sampled_.clear();
  first_logits_.clear();
  shape_ = {};
}

void Batch::Add(Sequence& sequence, bool decodes) {
  const int row_begin = static_cast<int>(tokens_.size());
  const auto first = sequence.tokens.begin() + sequence.computed;
  tokens_.insert(tokens_.end(), first, first + sequence.rows);
  const auto draft = sequence.drafter.draft().first(static_cast<size_t>(sequence.draft_rows));
  tokens_.insert(tokens_.end(), draft.begin(), draft.end());
  rows_.push_back({.row_begin = row_begin,
                   .rows = sequence.rows + sequence.draft_rows,
                   .position = sequence.computed,
                   .block_table = sequence.blocks});
  members_.push_back(&sequence);
  const int64_t rows = sequence.rows + sequence.draft_rows;
  (decodes ? shape_.decode_rows : shape_.prompt_rows) += static_cast<int>(rows);
  (decodes ? shape_.decode_attended : shape_.prompt_attended) +=
      rows * sequence.computed + rows * (rows + 1) / 2;
  if (sequence.computed + sequence.rows == sequence.known()) {
    sampled_.push_back(&sequence);
    first_logits_.push_back(logit_rows_.size());
    const int first_logit_row = row_begin + sequence.rows - 1;
    for (int j = 0; j <= sequence.draft_rows; ++j) logit_rows_.push_back(first_logit_row + j);
  }
}

std::span<float> Batch::Logits() {
  const auto vocab = static_cast<size_t>(vocab_size_);
  if (logit_rows_.size() > logits_rows_held_) {
    logits_rows_held_ = std::bit_ceil(logit_rows_.size());
    logits_ = std::make_unique_for_overwrite<float[]>(logits_rows_held_ * vocab);
  }
  return {logits_.get(), logit_rows_.size() * vocab};
}

std::span<float> Batch::LogitsOf(size_t i, size_t j) {
  const auto vocab = static_cast<size_t>(vocab_size_);
  return {logits_.get() + (first_logits_[i] + j) * vocab, vocab};
}

// Blocks found in the cache first, so that making room for new ones cannot evict them. A plan counts
// on the blocks that its preempted sequences have just given back.
bool Loop::BuildBatch() {
  batch_.Clear();
  for (const Plan::Work& work : plan_.work) {
    Sequence& sequence = *ranked_[static_cast<size_t>(work.sequence)];
    if (!sequence.running) TakeFound(sequence);
  }
  for (const Plan::Work& work : plan_.work) {
    Sequence& sequence = *ranked_[static_cast<size_t>(work.sequence)];
    if (!Reserve(sequence, work.new_blocks)) {
      GiveUpBlocks(sequence);
      continue;
    }
    if (!sequence.running) {  // what was found in the cache costs nothing
      sequence.served = std::max(sequence.served, sequence.computed);
      sequence.served_at_admission = sequence.served;
    }
    if (!sequence.started) sequence.planned_ns = parts_.clock.NowNs();
    sequence.running = true;
    sequence.started = true;
    sequence.rows = work.rows;
    sequence.draft_rows = work.draft_rows;
    ++(work.decodes ? sequence.usage.decode_steps : sequence.usage.prompt_chunks);
    batch_.Add(sequence, work.decodes);
  }
  return !batch_.empty();
}

}  // namespace pelton::engine
