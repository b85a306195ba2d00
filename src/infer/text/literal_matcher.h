// Finds the texts of given tokens in running text: the longest at the leftmost place.
#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace pelton::text {

class LiteralMatcher {  // immutable after construction; thread-safe
 public:
  struct Entry {
    std::string text;
    TokenId id = -1;
  };
  struct Match {
    size_t begin = 0;
    size_t size = 0;  // 0: nothing found
    TokenId id = -1;
  };

  LiteralMatcher() = default;
  explicit LiteralMatcher(std::vector<Entry> entries);  // empty texts are left out

  bool empty() const { return entries_.empty(); }
  // The longest text that begins exactly at `at`.
  Match At(std::string_view text, size_t at) const;
  // The first match at or after `from`.
  Match Find(std::string_view text, size_t from) const;

 private:
  std::vector<Entry> entries_;  // sorted by text, each text once
  std::bitset<256> first_;
};

}  // namespace pelton::text
