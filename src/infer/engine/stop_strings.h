// The stop strings of one request, looked for as text comes, byte by byte. Linear in the text
// whatever the strings are (Knuth, Morris, Pratt 1977), because the client chose the strings.
// Owned by the engine thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pelton::engine {

class StopStrings {
 public:
  struct Match {
    size_t end = 0;  // bytes of the fed text up to and with the match
    const std::string* stop = nullptr;
  };

  explicit StopStrings(std::vector<std::string> stops);  // none empty

  // The stop string that is complete first, of those that end together the longest. Nothing may be
  // fed after a match.
  std::optional<Match> Feed(std::string_view text);
  // Of the longest end of all text so far that a stop string begins with: it may become a stop.
  size_t PossibleLength() const;

 private:
  struct Stop {
    std::string text;
    std::vector<uint32_t> fallback;  // [i]: longest proper beginning of text that ends text[0…i]
    size_t matched = 0;              // longest beginning of text that ends the text so far
  };

  std::vector<Stop> stops_;
};

}  // namespace pelton::engine
