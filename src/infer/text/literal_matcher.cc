#include "text/literal_matcher.h"

#include <algorithm>
#include <utility>

namespace pelton::text {

LiteralMatcher::LiteralMatcher(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::erase_if(entries_, [](const Entry& e) { return e.text.empty(); });
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
  const auto same = [](const Entry& a, const Entry& b) { return a.text == b.text; };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  for (const Entry& e : entries_) first_.set(static_cast<uint8_t>(e.text[0]));
}

// Narrows the sorted range byte by byte; the shortest text of a range with one common prefix comes
// first in it, so a text that ends at this depth is the range's first.
LiteralMatcher::Match LiteralMatcher::At(std::string_view text, size_t at) const {
  Match best;
  if (at >= text.size() || !first_.test(static_cast<uint8_t>(text[at]))) return best;
  auto low = entries_.begin();
  auto high = entries_.end();
  for (size_t depth = 0; at + depth < text.size(); ++depth) {
    const auto want = static_cast<uint8_t>(text[at + depth]);
    const auto key = [depth](const Entry& e) {
      return e.text.size() > depth ? static_cast<int>(static_cast<uint8_t>(e.text[depth])) : -1;
    };
    low = std::partition_point(low, high, [&](const Entry& e) { return key(e) < want; });
    high = std::partition_point(low, high, [&](const Entry& e) { return key(e) <= want; });
    if (low == high) break;
    if (low->text.size() == depth + 1) best = {at, depth + 1, low->id};
  }
  return best;
}

LiteralMatcher::Match LiteralMatcher::Find(std::string_view text, size_t from) const {
  if (entries_.empty()) return {};
  for (size_t at = from; at < text.size(); ++at) {
    const Match match = At(text, at);
    if (match.size > 0) return match;
  }
  return {};
}

}  // namespace pelton::text
