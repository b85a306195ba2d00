// Guesses a sequence's next tokens from what it has said before, and keeps account of how often that
// was right. The guesses cost or save time, never text: each is checked against the model
// (docs/adr/0009). Owned by the engine thread.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "engine/ngram_index.h"
#include "text/tokenizer.h"

namespace pelton::engine {

inline constexpr int kDraftMax = 15;  // with the row that is due anyway: one tile of 16 rows

class Drafter {
 public:
  explicit Drafter(int tokens_max) : index_(tokens_max) {}

  // Guesses up to `most` tokens behind `tokens`; ends behind an end id. The draft may be empty: when
  // nothing like the end was said before, or when guessing has cost more than it may.
  void Propose(std::span<const text::TokenId> tokens, int most,
               std::span<const text::TokenId> end_ids);
  std::span<const text::TokenId> draft() const { return draft_; }
  // That token i of the draft is right, provided that all before it are.
  double Chance(size_t i) const;

  // What became of the first `tried` tokens of the draft (0: none was tried) in a step that gave a
  // token at least. The tokens refused over a sequence's life never exceed kCreditFirst, plus one in
  // kStepsACredit steps, plus kCreditOfHit for each accepted one.
  void Settle(int tried, int accepted);

  static constexpr double kCreditFirst = 16;
  static constexpr double kCreditMax = 32;
  static constexpr double kStepsACredit = 32;
  static constexpr double kCreditOfHit = 4;

 private:
  // Chances by how many tokens agree: 2, 3, 4–5, 6–8, 9–15, 16 and more.
  static constexpr size_t kClasses = 6;
  struct Record {
    double hits = 0, trials = 0;  // fade with every step
  };
  static size_t ClassOf(int length);

  NgramIndex index_;
  NgramIndex::Match match_;
  std::vector<text::TokenId> draft_;
  std::array<Record, kClasses> records_{};
  double credit_ = kCreditFirst;  // tokens that may be refused now
};

}  // namespace pelton::engine
