// Which KV blocks are free, and who holds the others. A block holds 16 positions of one sequence in
// every layer. Counts the holders of each, for the prefix cache that shares blocks. Knows no request.
// Owned by the engine thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pelton::kv {

using BlockId = int32_t;
inline constexpr int kBlocksMax = 1 << 27;  // 2^31 positions: a position stays an int32_t

class BlockPool {
 public:
  explicit BlockPool(int blocks);  // 0 … kBlocksMax

  int total() const { return static_cast<int>(references_.size()); }
  int free() const { return static_cast<int>(free_.size()); }

  // `count` (≥ 0) blocks with one reference each, or nothing at all when fewer are free.
  std::optional<std::vector<BlockId>> Allocate(int count);
  void AddReference(BlockId block);
  void Release(std::span<const BlockId> blocks);  // a block at zero references is free again

  // Release in two steps. Drop: one holder less; true when none is left, and then the block belongs
  // to the caller, neither held nor free, until Revive (one holder again) or Free.
  bool Drop(BlockId block);
  void Revive(BlockId block);
  void Free(BlockId block);

  int references(BlockId block) const { return references_[static_cast<size_t>(block)]; }
  std::span<const int32_t> references() const { return references_; }  // [total]

 private:
  std::vector<int32_t> references_;
  std::vector<BlockId> free_;  // last in, first out: a hot block is reused first
};

}  // namespace pelton::kv
