#include "engine/drafter.h"

#include <algorithm>

namespace pelton::engine {

namespace {

// Before anything is known of a text, and with the weight of so many trials. Rough: what matters is
// that few agreeing tokens promise little and many much; a sequence's own record soon weighs more.
constexpr std::array<double, 6> kPrior = {0.25, 0.4, 0.55, 0.7, 0.85, 0.95};
constexpr double kPriorTrials = 4;
// A record's weight halves in about 180 steps, so that a text that begins to repeat is noticed.
constexpr double kFade = 1 - 1. / 256;

}  // namespace

size_t Drafter::ClassOf(int length) {
  if (length <= 2) return 0;
  if (length == 3) return 1;
  if (length <= 5) return 2;
  if (length <= 8) return 3;
  return length < NgramIndex::kMatchMax ? 4 : 5;
}

void Drafter::Propose(std::span<const text::TokenId> tokens, int most,
                      std::span<const text::TokenId> end_ids) {
  draft_.clear();
  index_.CatchUp(tokens);
  const int count = std::min({most, kDraftMax, static_cast<int>(credit_)});
  if (count <= 0) return;
  match_ = index_.Find(tokens);
  if (match_.length == 0) return;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    // A match that lies a period back goes on into the draft itself.
    const size_t at = match_.next + i;
    draft_.push_back(at < tokens.size() ? tokens[at] : draft_[at - tokens.size()]);
    if (std::find(end_ids.begin(), end_ids.end(), draft_.back()) != end_ids.end()) return;
  }
}

// When the tokens before it were right, as many more agree.
double Drafter::Chance(size_t i) const {
  const size_t c = ClassOf(match_.length + static_cast<int>(i));
  return (records_[c].hits + kPrior[c] * kPriorTrials) / (records_[c].trials + kPriorTrials);
}

void Drafter::Settle(int tried, int accepted) {
  for (Record& record : records_) {
    record.hits *= kFade;
    record.trials *= kFade;
  }
  for (int i = 0; i < std::min(tried, accepted + 1); ++i) {  // none behind the first wrong one
    Record& record = records_[ClassOf(match_.length + i)];
    record.trials += 1;
    record.hits += i < accepted ? 1 : 0;
  }
  credit_ += 1 / kStepsACredit + kCreditOfHit * accepted - (tried - accepted);
  credit_ = std::clamp(credit_, 0., kCreditMax);
}

}  // namespace pelton::engine
