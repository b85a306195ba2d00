#include "engine/batch.h"

#include <bit>

#include "engine/loop.h"

namespace pelton::engine {

void Batch::Clear() {
  tokens_.clear();
  rows_.clear();
  logit_rows_.clear();
  members_.clear();
  sampled_.clear();
}

void Batch::Add(Sequence& sequence) {
  const int row_begin = static_cast<int>(tokens_.size());
  const auto first = sequence.tokens.begin() + sequence.computed;
  tokens_.insert(tokens_.end(), first, first + sequence.rows);
  rows_.push_back({.row_begin = row_begin,
                   .rows = sequence.rows,
                   .position = sequence.computed,
                   .block_table = sequence.blocks});
  members_.push_back(&sequence);
  if (sequence.computed + sequence.rows == sequence.known()) {
    logit_rows_.push_back(row_begin + sequence.rows - 1);
    sampled_.push_back(&sequence);
  }
}

std::span<float> Batch::Logits() {
  const auto vocab = static_cast<size_t>(vocab_size_);
  if (sampled_.size() > logits_rows_held_) {
    logits_rows_held_ = std::bit_ceil(sampled_.size());
    logits_ = std::make_unique_for_overwrite<float[]>(logits_rows_held_ * vocab);
  }
  return {logits_.get(), sampled_.size() * vocab};
}

std::span<float> Batch::LogitsOf(size_t i) {
  const auto vocab = static_cast<size_t>(vocab_size_);
  return {logits_.get() + i * vocab, vocab};
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
    if (!sequence.started) sequence.planned_ns = parts_.clock.NowNs();
    sequence.running = true;
    sequence.started = true;
    sequence.rows = work.rows;
    batch_.Add(sequence);
  }
  return !batch_.empty();
}

}  // namespace pelton::engine
