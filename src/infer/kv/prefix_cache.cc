#include "kv/prefix_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"

namespace pelton::kv {

PrefixCache::PrefixCache(int blocks, int block_tokens, bool on, PrefixHasher hasher)
    : block_tokens_(block_tokens), on_(on), hasher_(std::move(hasher)), pool_(blocks) {
  CHECK(block_tokens > 0, "positions of a block");
  if (!on_) return;
  entries_.resize(static_cast<size_t>(blocks));
  tokens_.resize(entries_.size() * width());
  buckets_.assign(std::bit_ceil(std::max<size_t>(1, entries_.size())), kNoBlock);
}

size_t PrefixCache::table_bytes() const {
  return entries_.size() * sizeof(Entry) + tokens_.size() * sizeof(int32_t) +
         buckets_.size() * sizeof(BlockId);
}

std::optional<std::vector<BlockId>> PrefixCache::Allocate(int count) {
  if (count > available()) return std::nullopt;
  while (pool_.free() < count) Evict();
  return pool_.Allocate(count);
}

void PrefixCache::Acquire(std::span<const BlockId> blocks) {
  for (const BlockId block : blocks) {
    CHECK(on_ && At(block).kept, "only a kept block is found");
    if (At(block).idle) {
      UnlinkIdle(block);
      pool_.Revive(block);
    } else {
      pool_.AddReference(block);
    }
  }
}

void PrefixCache::Release(std::span<const BlockId> blocks) {
  // Backwards, so that the end of a text is older among the idle than its beginning, and a
  // sequence's first free block is the next to be given out.
  for (size_t i = blocks.size(); i-- > 0;) {
    if (!pool_.Drop(blocks[i])) continue;
    if (on_ && At(blocks[i]).kept) {
      LinkIdle(blocks[i]);
    } else {
      pool_.Free(blocks[i]);
    }
  }
}

BlockId PrefixCache::Lookup(const BlockHash& hash, const TenantSalt& salt, BlockId parent,
                            std::span<const int32_t> tokens) {
  for (BlockId block = Bucket(hash); block != kNoBlock; block = At(block).next_in_bucket) {
    const Entry& entry = At(block);
    if (entry.hash == hash && entry.parent == parent && entry.salt == salt &&
        std::ranges::equal(TokensOf(block), tokens)) {
      return block;
    }
  }
  return kNoBlock;
}

int PrefixCache::Find(PrefixChain& chain, std::span<const int32_t> tokens, int blocks_max,
                      std::vector<BlockId>* found) {
  if (!on_) return 0;
  int probes = 0;
  while (static_cast<int>(found->size()) < blocks_max) {
    const auto index = static_cast<int>(found->size());
    ++probes;
    const BlockId block = Lookup(chain.At(hasher_, tokens, index, block_tokens_), chain.salt(),
                                 index == 0 ? kNoBlock : found->back(),
                                 tokens.subspan(found->size() * width(), width()));
    if (block == kNoBlock) break;
    found->push_back(block);
  }
  return probes;
}

BlockId PrefixCache::Keep(PrefixChain& chain, std::span<const int32_t> tokens, int index,
                          BlockId parent, BlockId block) {
  if (!on_) return block;
  CHECK(pool_.references(block) == 1 && !At(block).kept, "a new block has its one holder");
  CHECK(parent == kNoBlock || (At(parent).kept && !At(parent).idle), "its holder holds its parent");
  const BlockHash hash = chain.At(hasher_, tokens, index, block_tokens_);
  const auto text = tokens.subspan(static_cast<size_t>(index) * width(), width());
  const BlockId known = Lookup(hash, chain.salt(), parent, text);
  if (known != kNoBlock) {
    Acquire({&known, 1});
    Release({&block, 1});
    return known;
  }
  Entry& entry = At(block);
  entry = {.hash = hash, .salt = chain.salt(), .parent = parent, .next_in_bucket = Bucket(hash),
           .kept = true};
  Bucket(hash) = block;
  std::ranges::copy(text, TokensOf(block).begin());
  if (parent != kNoBlock) ++At(parent).children;
  ++kept_;
  return block;
}

void PrefixCache::Evict() {
  const BlockId block = oldest_;
  CHECK(block != kNoBlock, "available counts what can be evicted");
  Entry& entry = At(block);
  CHECK(entry.children == 0, "the end of a text goes before its beginning");
  UnlinkIdle(block);
  BlockId* at = &Bucket(entry.hash);
  while (*at != block) at = &At(*at).next_in_bucket;
  *at = entry.next_in_bucket;
  if (entry.parent != kNoBlock) --At(entry.parent).children;
  entry = {};
  pool_.Free(block);
  --kept_;
  ++evictions_;
}

void PrefixCache::LinkIdle(BlockId block) {
  Entry& entry = At(block);
  entry.older = newest_;
  entry.newer = kNoBlock;
  (newest_ == kNoBlock ? oldest_ : At(newest_).newer) = block;
  newest_ = block;
  entry.idle = true;
  ++idle_;
}

void PrefixCache::UnlinkIdle(BlockId block) {
  Entry& entry = At(block);
  (entry.older == kNoBlock ? oldest_ : At(entry.older).newer) = entry.newer;
  (entry.newer == kNoBlock ? newest_ : At(entry.newer).older) = entry.older;
  entry.older = entry.newer = kNoBlock;
  entry.idle = false;
  --idle_;
}

const char* PrefixCache::Inconsistency() const {
  int idle = 0;
  int kept = 0;
  std::vector<int> children(entries_.size(), 0);
  for (BlockId block = 0; block < static_cast<BlockId>(entries_.size()); ++block) {
    const Entry& entry = At(block);
    kept += entry.kept ? 1 : 0;
    idle += entry.idle ? 1 : 0;
    if (entry.idle && (!entry.kept || pool_.references(block) != 0)) return "an idle block is held";
    if (entry.kept && !entry.idle && pool_.references(block) == 0) return "a kept block is lost";
    if (!entry.kept || entry.parent == kNoBlock) continue;
    if (!At(entry.parent).kept) return "a block outlives its beginning";
    if (!entry.idle && At(entry.parent).idle) return "a block is held and its beginning is not";
    ++children[static_cast<size_t>(entry.parent)];
  }
  if (kept != kept_ || idle != idle_) return "blocks are counted wrong";
  for (size_t i = 0; i < children.size(); ++i) {
    if (children[i] != entries_[i].children) return "children are counted wrong";
  }
  int linked = 0;
  for (BlockId block = oldest_; block != kNoBlock && linked <= idle_; block = At(block).newer) {
    if (!At(block).idle) return "the list of the idle holds others";
    ++linked;
  }
  return linked == idle_ ? nullptr : "the list of the idle is broken";
}

}  // namespace pelton::kv
