#include "engine/stop_strings.h"

#include <algorithm>
#include <utility>

namespace pelton::engine {

namespace {

// The length matched after `c`, with `matched` bytes of `text` matched before it.
size_t Advance(std::string_view text, const std::vector<uint32_t>& fallback, size_t matched,
               char c) {
  while (matched > 0 && text[matched] != c) matched = fallback[matched - 1];
  return text[matched] == c ? matched + 1 : matched;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stops) {
  for (std::string& text : stops) {
    Stop stop{.text = std::move(text), .fallback = {0}};
    for (size_t i = 1; i < stop.text.size(); ++i) {
      const size_t before = stop.fallback[i - 1];
      stop.fallback.push_back(
          static_cast<uint32_t>(Advance(stop.text, stop.fallback, before, stop.text[i])));
    }
    stops_.push_back(std::move(stop));
  }
}

std::optional<StopStrings::Match> StopStrings::Feed(std::string_view text) {
  if (stops_.empty()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string* longest = nullptr;
    for (Stop& stop : stops_) {
      stop.matched = Advance(stop.text, stop.fallback, stop.matched, text[i]);
      if (stop.matched < stop.text.size()) continue;
      if (longest == nullptr || stop.text.size() > longest->size()) longest = &stop.text;
    }
    if (longest != nullptr) return Match{.end = i + 1, .stop = longest};
  }
  return std::nullopt;
}

size_t StopStrings::PossibleLength() const {
  size_t longest = 0;
  for (const Stop& stop : stops_) longest = std::max(longest, stop.matched);
  return longest;
}

}  // namespace pelton::engine
