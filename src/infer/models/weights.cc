#include "models/weights.h"

#include <fmt/core.h>

#include <array>

#include "base/assert.h"
#include "base/checked.h"

namespace pelton::models {
namespace {

bool IsFloat(tensor::DType type) {
  return type == tensor::DType::kF32 || type == tensor::DType::kF16 || type == tensor::DType::kBF16;
}

}  // namespace

Result<const format::Tensor*> WeightPlan::Take(std::string_view name, std::vector<int64_t> shape) {
  auto tensor = file_.Require(name, shape);
  if (!tensor.ok()) return tensor;
  known_.emplace(name);
  parameters_ += static_cast<uint64_t>((*tensor)->elements());
  return tensor;
}

// The embedding and the output head, whose errors reach every logit, stay at 8 bits.
tensor::DType WeightPlan::PackedType(const format::Tensor& tensor) const {
  if (!quantize_ || !IsFloat(tensor.dtype)) return tensor.dtype;
  const bool outside_layers = tensor.name == "token_embd.weight" || tensor.name == "output.weight";
  const tensor::DType type = outside_layers ? tensor::DType::kQ8_0 : *quantize_;
  const bool whole_blocks = tensor.shape.back() % tensor::InfoOf(type).block_elems == 0;
  return whole_blocks ? type : tensor.dtype;
}

Status WeightPlan::Matrix(std::string_view name, int outputs, int inputs, nn::Linear* slot) {
  const Stacked whole{outputs, slot};
  return Matrices(name, {&whole, 1}, inputs);
}

Status WeightPlan::Matrices(std::string_view name, std::span<const Stacked> parts, int inputs) {
  int64_t outputs = 0;
  for (const Stacked& part : parts) outputs += part.outputs;
  auto tensor = Take(name, {outputs, inputs});
  RETURN_IF_ERROR(tensor.status());
  const tensor::DType type = PackedType(**tensor);
  std::span<const std::byte> left = (*tensor)->data;
  const size_t row_bytes = left.size() / static_cast<size_t>(outputs);  // rows are whole blocks
  for (const Stacked& part : parts) {
    *part.slot = nn::Linear::Plan(type, part.outputs, inputs);
    const auto sum = CheckedAdd(packed_bytes_, nn::WeightArena::Rounded(part.slot->PackedBytes()));
    if (!sum) return ResourceExhausted("the weights are larger than any memory");
    packed_bytes_ = *sum;
    const size_t bytes = row_bytes * static_cast<size_t>(part.outputs);
    matrices_.push_back({*tensor, left.first(bytes), type, part.slot});
    left = left.subspan(bytes);
  }
  return OkStatus();
}

Status WeightPlan::Vector(std::string_view name, int n, const float** slot) {
  auto tensor = Take(name, {n});
  RETURN_IF_ERROR(tensor.status());
  if (!IsFloat((*tensor)->dtype)) {
    return InvalidArgument(fmt::format("tensor {} has type {}; only F32, F16 and BF16 are read here",
                                       name, tensor::InfoOf((*tensor)->dtype).name));
  }
  const uint64_t bytes = nn::WeightArena::Rounded(static_cast<uint64_t>(n) * sizeof(float));
  const auto sum = CheckedAdd(packed_bytes_, bytes);
  if (!sum) return ResourceExhausted("the weights are larger than any memory");
  packed_bytes_ = *sum;
  vectors_.push_back({*tensor, slot});
  return OkStatus();
}

Status WeightPlan::RefuseUnknown() const {
  for (const format::Tensor& tensor : file_.tensors()) {
    if (known_.contains(tensor.name)) continue;
    return InvalidArgument(fmt::format("tensor {} is not part of this architecture as built here",
                                       tensor.name));
  }
  return OkStatus();
}

std::string WeightPlan::CommonestType() const {
  std::array<int64_t, 256> elements{};
  const tensor::DTypeInfo* best = nullptr;
  int64_t most = 0;
  for (const MatrixItem& item : matrices_) {
    if (!item.tensor->name.starts_with("blk.")) continue;
    int64_t& count = elements[static_cast<uint8_t>(item.dtype)];
    count += int64_t{item.slot->matrix().n} * item.slot->matrix().k;
    if (count > most) {
      most = count;
      best = &tensor::InfoOf(item.dtype);
    }
  }
  return best == nullptr ? std::string() : std::string(best->name);
}

std::vector<WeightPlan::Section> WeightPlan::Sections() const {
  std::vector<Section> out;
  for (const VectorItem& item : vectors_) {
    out.push_back({item.tensor, item.tensor->data, tensor::DType::kF32, {},
                   static_cast<uint64_t>(item.tensor->elements()) * sizeof(float)});
  }
  for (const MatrixItem& item : matrices_) {
    out.push_back({item.tensor, item.rows, item.dtype, item.slot->matrix(), item.slot->PackedBytes()});
  }
  return out;
}

void WeightPlan::Adopt(nn::WeightArena& arena, std::span<const float> post_scales) const {
  CHECK(post_scales.size() == vectors_.size() + matrices_.size(), "one scale a section");
  for (const VectorItem& item : vectors_) {
    const auto bytes = static_cast<uint64_t>(item.tensor->elements()) * sizeof(float);
    *item.slot = reinterpret_cast<const float*>(arena.Take(bytes));
  }
  for (size_t i = 0; i < matrices_.size(); ++i) {
    nn::Linear& slot = *matrices_[i].slot;
    slot.Adopt(arena.Take(slot.PackedBytes()), post_scales[vectors_.size() + i]);
  }
}

Status WeightPlan::Pack(nn::WeightArena& arena, nn::Team& team,
                        const std::function<void(uint64_t, uint64_t)>& progress) const {
  uint64_t total = 0;
  for (const MatrixItem& item : matrices_) total += item.rows.size();
  uint64_t done = 0;
  for (const VectorItem& item : vectors_) {
    const int64_t n = item.tensor->elements();
    auto* out = reinterpret_cast<float*>(arena.Take(static_cast<uint64_t>(n) * sizeof(float)));
    tensor::DequantizeRow(item.tensor->dtype, item.tensor->data.data(), n, out);
    *item.slot = out;
  }
  for (const MatrixItem& item : matrices_) {
    const std::span<const std::byte> rows = item.rows;
    std::byte* dst = arena.Take(item.slot->PackedBytes());
    uint64_t packed = 0;
    item.slot->Pack(item.tensor->dtype, rows.data(), dst, team, [&](uint64_t bytes) {
      file_.DropPages(rows.subspan(packed, bytes));
      packed += bytes;
      done += bytes;
      if (progress) progress(done, total);
    });
    file_.DropPages(rows);  // also the pages that two strides share
  }
  return OkStatus();
}

}  // namespace pelton::models
