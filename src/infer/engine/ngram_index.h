// Where a sequence has said its last words before: chains of positions by the pair of tokens that
// ends there, as LZ77 compressors keep them. A token costs O(1) to add and four bytes; a look-up a
// bounded walk, whatever tokens a client chose. Owned by the engine thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace pelton::engine {

class NgramIndex {
 public:
  static constexpr int kMatchMin = 2;          // tokens that must agree
  static constexpr int kMatchMax = 16;         // agreeing further back makes no difference
  static constexpr int kWalkMax = 32;          // earlier places a look-up visits
  static constexpr size_t kCatchUpMax = 4096;  // tokens that one call adds

  struct Match {
    int length = 0;   // tokens that agree, kMatchMin … kMatchMax; 0: nothing was found
    size_t next = 0;  // index of the token that followed then; < tokens.size()
  };

  // tokens_max: most tokens that the sequence will have; sizes the table.
  explicit NgramIndex(int tokens_max) : tokens_max_(tokens_max) {}

  // Adds tokens that it has not seen, at most kCatchUpMax; `tokens` only ever grow.
  void CatchUp(std::span<const text::TokenId> tokens);
  // The longest match of the end of `tokens` among the positions added, of equally long ones the
  // latest. The last kWalkMax positions of equal hash are looked at.
  Match Find(std::span<const text::TokenId> tokens) const;

  size_t bytes() const { return (heads_.size() + earlier_.size()) * sizeof(int32_t); }

 private:
  size_t Slot(text::TokenId first, text::TokenId second) const;

  const int tokens_max_;
  std::vector<int32_t> heads_;    // by hash of a pair: where it ended last, -1 nowhere
  std::vector<int32_t> earlier_;  // by position: where a pair of that hash ended before
};

}  // namespace pelton::engine
