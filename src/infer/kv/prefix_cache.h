// The prefix cache: which KV blocks hold which text, so that a request that begins as an earlier one
// did finds its keys and values instead of computing them again.
//
// A full block is kept under its text when it has been computed, and stays when its last holder lets
// go, idle, until its memory is needed: then the least recently used goes, always the end of a text
// before its beginning. An idle block counts as available. Texts of different tenants never meet:
// each chain begins at its tenant's salt. A block is found by hash, then parent block, salt and
// tokens are compared, so no collision can mix texts.
//
// It stands between the engine and the block pool: blocks are allocated and released here. Switched
// off it only passes on. Owned by the engine thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kv/block_pool.h"
#include "kv/prefix_hash.h"

namespace pelton::kv {

inline constexpr BlockId kNoBlock = -1;

class PrefixCache {
 public:
  PrefixCache(int blocks, int block_tokens, bool on, PrefixHasher hasher);

  // Blocks that can be allocated: free ones and idle ones.
  int available() const { return pool_.free() + idle_; }
  int idle() const { return idle_; }
  int kept() const { return kept_; }           // blocks known by their text, idle or held
  uint64_t evictions() const { return evictions_; }
  bool on() const { return on_; }
  const PrefixHasher& hasher() const { return hasher_; }
  const BlockPool& pool() const { return pool_; }
  // Bytes of the cache's own tables; the blocks themselves are the KV storage's.
  size_t table_bytes() const;

  // `count` blocks with one holder each, evicting idle ones as needed; nothing when fewer are available.
  std::optional<std::vector<BlockId>> Allocate(int count);
  void Acquire(std::span<const BlockId> blocks);  // kept ones: one holder more
  void Release(std::span<const BlockId> blocks);  // of one sequence, in its order

  // Extends *found (the first blocks of `tokens`, already found) by what is kept, to at most
  // `blocks_max`. Nothing is held by it: valid until the next eviction. Returns the probes made.
  int Find(PrefixChain& chain, std::span<const int32_t> tokens, int blocks_max,
           std::vector<BlockId>* found);

  // Block number `index` of `tokens` has been computed into `block`, which the caller holds; `parent`
  // is the block before it (kNoBlock at 0), as an earlier Keep or Find gave it. Keeps it, or, when
  // the same text is kept already, hands that one to the caller instead and takes `block` back.
  BlockId Keep(PrefixChain& chain, std::span<const int32_t> tokens, int index, BlockId parent,
               BlockId block);

  // For tests: what must hold about the tables, or the first thing that does not.
  const char* Inconsistency() const;

 private:
  struct Entry {
    BlockHash hash;
    TenantSalt salt{};
    BlockId parent = kNoBlock;
    BlockId next_in_bucket = kNoBlock;
    BlockId older = kNoBlock, newer = kNoBlock;  // among the idle
    int children = 0;                            // kept blocks whose parent this is
    bool kept = false;
    bool idle = false;
  };

  Entry& At(BlockId block) { return entries_[static_cast<size_t>(block)]; }
  const Entry& At(BlockId block) const { return entries_[static_cast<size_t>(block)]; }
  std::span<int32_t> TokensOf(BlockId block) {
    return std::span(tokens_).subspan(static_cast<size_t>(block) * width(), width());
  }
  size_t width() const { return static_cast<size_t>(block_tokens_); }
  BlockId& Bucket(const BlockHash& hash) { return buckets_[hash.low & (buckets_.size() - 1)]; }
  BlockId Lookup(const BlockHash& hash, const TenantSalt& salt, BlockId parent,
                 std::span<const int32_t> tokens);
  void Evict();
  void LinkIdle(BlockId block);
  void UnlinkIdle(BlockId block);

  const int block_tokens_;
  const bool on_;
  const PrefixHasher hasher_;
  BlockPool pool_;
  std::vector<Entry> entries_;    // one a block of the pool
  std::vector<int32_t> tokens_;   // [blocks, block_tokens]
  std::vector<BlockId> buckets_;  // a power of two of chains through next_in_bucket
  BlockId oldest_ = kNoBlock, newest_ = kNoBlock;
  int idle_ = 0;
  int kept_ = 0;
  uint64_t evictions_ = 0;
};

}  // namespace pelton::kv
