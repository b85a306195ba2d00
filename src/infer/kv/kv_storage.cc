#include "kv/kv_storage.h"

#include <fmt/core.h>

#include <cstring>

#include "base/assert.h"
#include "base/checked.h"

namespace pelton::kv {

Result<KvStorage> KvStorage::Create(int layers, int blocks, size_t block_bytes) {
  if (layers < 1 || blocks < 1 || block_bytes == 0) {
    return InvalidArgument(fmt::format("a KV cache of {} layers, {} blocks, {} bytes a block",
                                       layers, blocks, block_bytes));
  }
  const auto layer_bytes = CheckedMul(static_cast<size_t>(blocks), block_bytes);
  const auto total = layer_bytes ? CheckedMul(*layer_bytes, static_cast<size_t>(layers))
                                 : std::nullopt;
  if (!total) {
    return ResourceExhausted(fmt::format(
        "the KV cache ({} layers x {} blocks x {} bytes) is larger than any memory", layers, blocks,
        block_bytes));
  }
  auto buffer = HugeBuffer::Allocate(*total);
  if (!buffer.ok()) {
    return ResourceExhausted(fmt::format("the KV cache needs {} bytes: {}", *total,
                                         buffer.status().message()));
  }
  KvStorage storage;
  storage.buffer_ = *std::move(buffer);
  storage.layers_ = layers;
  storage.blocks_ = blocks;
  storage.block_bytes_ = block_bytes;
  storage.layer_bytes_ = *layer_bytes;
  return storage;
}

void KvStorage::CopyOut(int block, std::span<std::byte> to) const {
  CHECK(block >= 0 && block < blocks_ && to.size() == all_layers_block_bytes(), "one whole block");
  const std::byte* at = buffer_.data() + static_cast<size_t>(block) * block_bytes_;
  for (int layer = 0; layer < layers_; ++layer) {
    std::memcpy(to.data() + static_cast<size_t>(layer) * block_bytes_,
                at + static_cast<size_t>(layer) * layer_bytes_, block_bytes_);
  }
}

void KvStorage::CopyIn(int block, std::span<const std::byte> from) {
  CHECK(block >= 0 && block < blocks_ && from.size() == all_layers_block_bytes(),
        "one whole block");
  for (int layer = 0; layer < layers_; ++layer) {
    std::memcpy(Layer(layer) + static_cast<size_t>(block) * block_bytes_,
                from.data() + static_cast<size_t>(layer) * block_bytes_, block_bytes_);
  }
}

}  // namespace pelton::kv
