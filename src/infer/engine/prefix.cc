// The prefix cache's part in a turn: what waiting sequences find, what admitted ones take, what
// computed blocks are kept.
#include <algorithm>

#include "base/assert.h"
#include "engine/loop.h"

namespace pelton::engine {

namespace {

// Look-ups of a turn. Who is not looked up is not admitted in this turn, and neither is anybody
// behind; what was found once stays found until something is evicted.
constexpr int kProbesATurn = 4096;

}  // namespace

// Brings `found` up to date; valid until the next eviction. The last token is always computed: its
// logits are what the request is about.
int Loop::FindPrefix(Sequence& sequence) {
  if (sequence.found_at != cache_.evictions()) sequence.found.clear();
  sequence.found_at = cache_.evictions();
  const int blocks_max = (sequence.known() - 1) / limits_.block_tokens;
  return cache_.Find(sequence.chain, sequence.tokens, blocks_max, &sequence.found);
}

// Of all who wait. Nothing is evicted between here and their admission.
void Loop::FindPrefixes(int64_t now_ns) {
  if (!cache_.on()) return;
  TakeLoads();  // first: it may evict what others would have found
  int probes = 0;
  for (size_t rank = 0; rank < ranked_.size(); ++rank) {
    Sequence& sequence = *ranked_[rank];
    if (sequence.running) continue;
    sequence.waits = probes >= kProbesATurn;
    if (sequence.waits) continue;
    probes += 1 + FindPrefix(sequence);
    sequence.waits = AnotherComputesNext(rank, now_ns) || LoadsFromDisk(sequence);
  }
}

// Whether a sequence of higher rank is about to compute the block that this one needs next: then the
// two share it instead of computing it side by side. Whoever is waited for ranks above and is not
// paused, so that it progresses; when it goes, or is about to because its deadline has passed, nobody
// is waited for.
bool Loop::AnotherComputesNext(size_t rank, int64_t now_ns) const {
  Sequence& sequence = *ranked_[rank];
  const auto next = static_cast<int>(sequence.found.size());
  const int begin = next * limits_.block_tokens;
  const int end = begin + limits_.block_tokens;
  if (end > sequence.known() - 1) return false;
  for (size_t i = 0; i < rank; ++i) {
    Sequence& other = *ranked_[i];
    if (other.paused || other.finish || other.computed >= end || other.known() < end) continue;
    const int64_t deadline_ns = other.request.deadline_ns;
    if (!other.started && deadline_ns != 0 && now_ns >= deadline_ns) continue;
    if (other.running && other.known() - other.computed == 1) continue;  // it writes, this one reads
    if (!std::equal(other.tokens.begin() + begin, other.tokens.begin() + end,
                    sequence.tokens.begin() + begin)) {
      continue;
    }
    const auto name = [&](Sequence& s) {
      return s.chain.At(cache_.hasher(), s.tokens, next, limits_.block_tokens);
    };
    if (name(other) == name(sequence)) return true;
  }
  return false;
}

// Admission: the found blocks are held from now on and count as computed.
void Loop::TakeFound(Sequence& sequence) {
  if (!sequence.started) {
    sequence.cached_tokens = static_cast<int>(sequence.found.size()) * limits_.block_tokens;
    counts_.prefix_queried_tokens += static_cast<uint64_t>(sequence.known());
    counts_.prefix_hit_tokens += static_cast<uint64_t>(sequence.cached_tokens);
  }
  if (sequence.found.empty()) return;
  cache_.Acquire(sequence.found);
  sequence.blocks = sequence.found;
  sequence.kept = static_cast<int>(sequence.found.size());
  sequence.computed = sequence.kept * limits_.block_tokens;
  sequence.found.clear();
  SaveFound(sequence);
}

void Loop::KeepFullBlocks(Sequence& sequence) {
  const int full = sequence.computed / limits_.block_tokens;
  for (; sequence.kept < full; ++sequence.kept) {
    const auto index = static_cast<size_t>(sequence.kept);
    const kv::BlockId parent = index == 0 ? kv::kNoBlock : sequence.blocks[index - 1];
    sequence.blocks[index] = cache_.Keep(sequence.chain, sequence.tokens, sequence.kept, parent,
                                         sequence.blocks[index]);
    const bool of_prompt = (sequence.kept + 1) * limits_.block_tokens <= sequence.prompt_tokens;
    if (disk_ != nullptr && of_prompt) SaveBlock(sequence, sequence.kept);
  }
}

}  // namespace pelton::engine
