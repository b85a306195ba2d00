// The memory of the KV cache: [layer][block][bytes], one huge-page region, zeroed, so that a slot
// never written holds finite numbers. Written by a model's step only.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"

namespace pelton::kv {

class KvStorage {
 public:
  // block_bytes: of one block in one layer. RESOURCE_EXHAUSTED names the bytes that were asked for.
  static Result<KvStorage> Create(int layers, int blocks, size_t block_bytes);

  std::byte* Layer(int layer) { return buffer_.data() + static_cast<size_t>(layer) * layer_bytes_; }
  // One block of all layers, [layer][block_bytes], out of the storage and into it again.
  size_t all_layers_block_bytes() const { return static_cast<size_t>(layers_) * block_bytes_; }
  void CopyOut(int block, std::span<std::byte> to) const;
  void CopyIn(int block, std::span<const std::byte> from);
  int layers() const { return layers_; }
  int blocks() const { return blocks_; }
  size_t block_bytes() const { return block_bytes_; }
  size_t total_bytes() const { return buffer_.size(); }

 private:
  KvStorage() = default;
  HugeBuffer buffer_;
  int layers_ = 0;
  int blocks_ = 0;
  size_t block_bytes_ = 0;
  size_t layer_bytes_ = 0;
};

}  // namespace pelton::kv
