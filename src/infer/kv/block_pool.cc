#include "kv/block_pool.h"

#include "base/assert.h"

namespace pelton::kv {

BlockPool::BlockPool(int blocks) {
  CHECK(blocks >= 0 && blocks <= kBlocksMax, "a pool's size is checked before it is made");
  references_.assign(static_cast<size_t>(blocks), 0);
  free_.reserve(static_cast<size_t>(blocks));
  for (BlockId block = blocks - 1; block >= 0; --block) free_.push_back(block);  // 0 is given first
}

std::optional<std::vector<BlockId>> BlockPool::Allocate(int count) {
  CHECK(count >= 0, "a count of blocks");
  if (count > free()) return std::nullopt;
  std::vector<BlockId> blocks;
  blocks.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const BlockId block = free_.back();
    free_.pop_back();
    references_[static_cast<size_t>(block)] = 1;
    blocks.push_back(block);
  }
  return blocks;
}

void BlockPool::AddReference(BlockId block) {
  CHECK(block >= 0 && block < total(), "a block of this pool");
  int32_t& references = references_[static_cast<size_t>(block)];
  CHECK(references > 0, "only a held block can be shared");
  ++references;
}

void BlockPool::Release(std::span<const BlockId> blocks) {
  // Backwards, so that a sequence's first block is the next to be given out.
  for (size_t i = blocks.size(); i-- > 0;) {
    if (Drop(blocks[i])) Free(blocks[i]);
  }
}

bool BlockPool::Drop(BlockId block) {
  CHECK(block >= 0 && block < total(), "a block of this pool");
  int32_t& references = references_[static_cast<size_t>(block)];
  CHECK(references > 0, "a block is released once by each holder");
  return --references == 0;
}

void BlockPool::Revive(BlockId block) {
  CHECK(block >= 0 && block < total(), "a block of this pool");
  int32_t& references = references_[static_cast<size_t>(block)];
  CHECK(references == 0, "only a dropped block is revived");
  references = 1;
}

void BlockPool::Free(BlockId block) {
  CHECK(block >= 0 && block < total(), "a block of this pool");
  CHECK(references_[static_cast<size_t>(block)] == 0, "only a dropped block is freed");
  CHECK(free() < total(), "a block is freed once");
  free_.push_back(block);
}

}  // namespace pelton::kv
