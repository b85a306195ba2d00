#include "kv/kv_storage.h"

#include <fmt/core.h>

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

}  // namespace pelton::kv
