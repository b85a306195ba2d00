#include "engine/ngram_index.h"

#include <algorithm>
#include <bit>

#include "base/random.h"

namespace pelton::engine {

namespace {

// Enough for chains of one or two in a long context; 256 KiB.
constexpr size_t kSlotsMin = 64, kSlotsMax = 65536;

}  // namespace

size_t NgramIndex::Slot(text::TokenId first, text::TokenId second) const {
  const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(first)) << 32 |
                        static_cast<uint32_t>(second);
  return Mix64(pair) & (heads_.size() - 1);
}

void NgramIndex::CatchUp(std::span<const text::TokenId> tokens) {
  if (tokens.size() < 3) return;  // a pair with a token behind it
  if (heads_.empty()) {
    const auto wanted = static_cast<size_t>(std::max(tokens_max_, 1));
    heads_.assign(std::bit_ceil(std::clamp(wanted, kSlotsMin, kSlotsMax)), -1);
    earlier_.push_back(-1);  // position 0 ends no pair
  }
  // The last token has none behind it yet.
  const size_t end = std::min(tokens.size() - 1, earlier_.size() + kCatchUpMax);
  for (size_t at = earlier_.size(); at < end; ++at) {
    int32_t& head = heads_[Slot(tokens[at - 1], tokens[at])];
    earlier_.push_back(head);
    head = static_cast<int32_t>(at);
  }
}

NgramIndex::Match NgramIndex::Find(std::span<const text::TokenId> tokens) const {
  Match best;
  if (heads_.empty() || tokens.size() < 3) return best;
  const size_t last = tokens.size() - 1;
  int32_t place = heads_[Slot(tokens[last - 1], tokens[last])];
  for (int walked = 0; place >= 0 && walked < kWalkMax; ++walked) {
    const auto at = static_cast<size_t>(place);
    const size_t most = std::min<size_t>(kMatchMax, at + 1);
    size_t length = 0;
    while (length < most && tokens[at - length] == tokens[last - length]) ++length;
    if (length >= kMatchMin && static_cast<int>(length) > best.length) {
      best = {.length = static_cast<int>(length), .next = at + 1};
      if (best.length == kMatchMax) break;
    }
    place = earlier_[at];
  }
  return best;
}

}  // namespace pelton::engine
