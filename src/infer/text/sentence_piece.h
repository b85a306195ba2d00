// SentencePiece's BPE: characters are merged pairwise, the pair whose piece has the highest score
// first, the leftmost among equals; what is in no piece falls back to byte tokens.
// Source of the rules: github.com/google/sentencepiece, src/bpe_model.cc.
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/literal_matcher.h"
#include "text/vocabulary.h"

namespace pelton::text {

class SentencePiece {  // immutable; thread-safe; refers to the vocabulary
 public:
  explicit SentencePiece(const Vocabulary& vocabulary);

  // Appends the ids of `text`, in which spaces are already escaped. n bytes cost O(n log n).
  void Encode(std::string_view text, std::vector<TokenId>* ids) const;

 private:
  struct Symbol {
    uint32_t begin = 0, size = 0;  // bytes in the run; size 0: merged away
    int32_t previous = -1, next = -1;
  };
  struct Merged {  // a possible merge of two neighbours
    TokenId id = -1;
    float score = 0;
  };
  using Halves = std::unordered_map<std::string_view, size_t>;

  Merged Pair(std::string_view run, const Symbol& left, const Symbol& right) const;
  void EncodeRun(std::string_view run, std::vector<TokenId>* ids) const;
  void MergeFew(std::string_view run, std::vector<Symbol>* symbols, Halves* halves) const;
  void MergeMany(std::string_view run, std::vector<Symbol>* symbols, Halves* halves) const;
  void Join(std::string_view run, std::vector<Symbol>* symbols, int32_t left, TokenId id,
            Halves* halves) const;
  void Emit(std::string_view piece, const Halves& halves, std::vector<TokenId>* ids) const;
  size_t RunEnd(std::string_view text, size_t begin) const;

  const Vocabulary& vocabulary_;
  LiteralMatcher user_defined_;  // with escaped spaces; never merged with anything
  bool words_are_runs_ = true;   // no piece has a space after another character
  bool byte_fallback_ = false;
};

}  // namespace pelton::text
