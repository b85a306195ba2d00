// Random weights of every type, and packed matrices that own their memory. For tests, benchmarks
// and the fuzzer only.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/dtype.h"

namespace pelton::kernels::testing {

inline constexpr tensor::DType kAllTypes[] = {
    tensor::DType::kF32,  tensor::DType::kF16,  tensor::DType::kBF16, tensor::DType::kQ4_0,
    tensor::DType::kQ4_1, tensor::DType::kQ5_0, tensor::DType::kQ5_1, tensor::DType::kQ8_0,
    tensor::DType::kQ2_K, tensor::DType::kQ3_K, tensor::DType::kQ4_K, tensor::DType::kQ5_K,
    tensor::DType::kQ6_K};

// Where a block of `type` keeps its fp16 scale and minimum (-1: none).
inline void HalfOffsets(tensor::DType type, int* d, int* m) {
  using tensor::DType;
  *d = 0;
  *m = -1;
  switch (type) {
    case DType::kQ4_1: case DType::kQ5_1: case DType::kQ4_K: case DType::kQ5_K: *m = 2; break;
    case DType::kQ2_K: *d = 80; *m = 82; break;
    case DType::kQ3_K: *d = 108; break;
    case DType::kQ6_K: *d = 208; break;
    default: break;
  }
}

// [n, k] in `type`: random codes, scales around `size`. k must be a multiple of the block.
inline std::vector<std::byte> RandomRows(tensor::DType type, int n, int k, uint32_t seed,
                                         float size = 0.02f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.f, size);
  const tensor::DTypeInfo& info = tensor::InfoOf(type);
  const size_t blocks = static_cast<size_t>(n) * static_cast<size_t>(k) / info.block_elems;
  std::vector<std::byte> rows(blocks * info.block_bytes);
  if (!tensor::AffineFormOf(type)) {
    for (size_t i = 0; i < blocks; ++i) {
      const float v = normal(random);
      const uint16_t half =
          type == tensor::DType::kF16 ? tensor::F16FromF32(v) : tensor::BF16FromF32(v);
      std::memcpy(&rows[i * info.block_bytes], info.block_bytes == 4 ? static_cast<const void*>(&v)
                                                                     : &half,
                  info.block_bytes);
    }
    return rows;
  }
  for (auto& b : rows) b = static_cast<std::byte>(random());
  int d = 0;
  int m = 0;
  HalfOffsets(type, &d, &m);
  for (size_t i = 0; i < blocks; ++i) {
    const uint16_t scale = tensor::F16FromF32(normal(random));
    const uint16_t min = tensor::F16FromF32(normal(random) * 3);
    std::memcpy(&rows[i * info.block_bytes + static_cast<size_t>(d)], &scale, 2);
    if (m >= 0) std::memcpy(&rows[i * info.block_bytes + static_cast<size_t>(m)], &min, 2);
  }
  return rows;
}

// 64-byte-aligned memory, exactly as long as asked for, so that a sanitizer sees reads beyond it.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t bytes) : bytes_((bytes + 63) / 64 * 64) {
    data_ = static_cast<std::byte*>(::operator new(bytes_, std::align_val_t(64)));
    std::memset(data_, 0, bytes_);
  }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  AlignedBytes(AlignedBytes&& other) noexcept : bytes_(other.bytes_), data_(other.data_) {
    other.data_ = nullptr;
  }
  ~AlignedBytes() {
    if (data_ != nullptr) ::operator delete(data_, std::align_val_t(64));
  }
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }

 private:
  size_t bytes_;
  std::byte* data_;
};

struct OwnedMatrix {
  PackedMatrix matrix;
  AlignedBytes bytes;
};

inline OwnedMatrix PackAll(tensor::DType type, const std::vector<std::byte>& rows, int n, int k) {
  PackedMatrix plan = PackPlan(type, n, k);
  plan.post_scale = PackScale(type, rows.data(), n, k);
  OwnedMatrix owned{plan, AlignedBytes(PackedBytes(plan))};
  PackPanels(plan, type, rows.data(), 0, plan.panels(), owned.bytes.data());
  owned.matrix.data = owned.bytes.data();
  return owned;
}

inline std::vector<float> RandomFloats(size_t count, uint32_t seed, float size = 1.f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.f, size);
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

}  // namespace pelton::kernels::testing
