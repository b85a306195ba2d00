// Drafts on their way through a turn: offered behind the scheduler's plan, computed as further rows
// of their sequences, and either right or forgotten.
#include <algorithm>

#include "engine/loop.h"

namespace pelton::engine {

// Adds draft rows to the plan. They come last: rows and blocks that nobody else has use for.
void Loop::PlanDrafts() {
  if (limits_.draft_rows == 0) return;
  int planned_rows = 0;
  int free_blocks = cache_.available();
  for (const Plan::Work& work : plan_.work) {
    planned_rows += work.rows;
    free_blocks -= work.new_blocks + FoundUnheld(*ranked_[static_cast<size_t>(work.sequence)]);
  }
  const int rows_max = std::min(limits_.draft_rows, limits_.step_tokens);
  if (planned_rows >= rows_max) return;
  offers_.clear();
  for (const Plan::Work& work : plan_.work) offers_.push_back(OfferOf(work));
  ShareDraftRows({.offers = offers_,
                  .planned_rows = planned_rows,
                  .rows_max = rows_max,
                  .free_blocks = free_blocks,
                  .block_tokens = limits_.block_tokens,
                  .row_cost = step_cost_.RowCost()},
                 &draft_rows_);
  for (size_t i = 0; i < plan_.work.size(); ++i) {
    Plan::Work& work = plan_.work[i];
    work.draft_rows = draft_rows_[i];
    work.new_blocks += DraftBlocks(work.draft_rows, offers_[i].room, limits_.block_tokens);
  }
}

// Blocks that the cache has of a sequence about to be admitted and that count as available still.
int Loop::FoundUnheld(const Sequence& sequence) const {
  if (sequence.running) return 0;
  return static_cast<int>(
      std::count_if(sequence.found.begin(), sequence.found.end(),
                    [&](kv::BlockId block) { return cache_.pool().references(block) == 0; }));
}

// Nothing for prompts. A draft never reaches beyond the request's last token.
DraftOffer Loop::OfferOf(const Plan::Work& work) {
  DraftOffer offer;
  Sequence& sequence = *ranked_[static_cast<size_t>(work.sequence)];
  const int planned = sequence.computed + work.rows;  // positions after the step
  if (work.rows > 1 || planned < sequence.known()) return offer;
  Drafter& drafter = sequence.drafter;
  drafter.Propose(sequence.tokens, sequence.max_tokens - sequence.generated() - 1,
                  parts_.tokenizer.end_ids());
  const int blocks = static_cast<int>(sequence.blocks.size()) + work.new_blocks;
  offer.rows = static_cast<int>(drafter.draft().size());
  offer.room = blocks * limits_.block_tokens - planned;
  double all_right = 1;
  for (size_t i = 0; i < drafter.draft().size(); ++i) {
    all_right *= drafter.Chance(i);
    offer.chance[i] = static_cast<float>(all_right);
  }
  return offer;
}

// Samples position after position, each with the request's own sampler, as if the tokens had come
// one a step; ends at the first that is not the draft's. So the text is the one without drafts.
void Loop::DrawTokens(size_t i) {
  Sequence& sequence = *batch_.sampled()[i];
  const auto ends = parts_.tokenizer.end_ids();
  const auto banned = sequence.request.ignore_eos ? ends : std::span<const text::TokenId>();
  const auto draft = sequence.drafter.draft();
  const auto tried = static_cast<size_t>(sequence.draft_rows);
  sequence.samples.clear();
  for (size_t j = 0; j <= tried; ++j) {
    sequence.samples.push_back(sequence.sampler.Draw(batch_.LogitsOf(i, j), banned));
    const text::TokenId token = sequence.samples.back().token;
    if (j == tried || token != draft[j]) return;
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) return;
  }
}

// One step's tokens of a sequence, in order. Behind each draft token that was right lies its KV
// already; the KV of wrong ones is overwritten when those positions are computed, and blocks that
// were taken for them alone go back.
void Loop::CommitTokens(Sequence& sequence) {
  const auto draft = sequence.drafter.draft();
  const int tried = sequence.draft_rows;
  int accepted = 0;
  for (size_t j = 0; j < sequence.samples.size() && !sequence.finish; ++j) {
    if (j > 0) ++sequence.computed;
    const text::TokenId token = sequence.samples[j].token;
    CommitToken(sequence, sequence.samples[j]);
    if (static_cast<int>(j) < tried && token == draft[j]) ++accepted;
  }
  sequence.samples.clear();
  sequence.draft_rows = 0;
  if (limits_.draft_rows == 0) return;
  sequence.drafter.Settle(tried, accepted);
  if (tried == 0) return;
  ++counts_.drafts;
  counts_.draft_tokens += static_cast<uint64_t>(tried);
  counts_.accepted_draft_tokens += static_cast<uint64_t>(accepted);
  const int block_tokens = limits_.block_tokens;
  const auto kept =
      static_cast<size_t>((sequence.computed + block_tokens - 1) / block_tokens);
  if (kept >= sequence.blocks.size()) return;
  cache_.Release(std::span(sequence.blocks).subspan(kept));
  sequence.blocks.resize(kept);
}

}  // namespace pelton::engine
