// From a file's tensors to packed weights. A family first declares every tensor that it needs, with
// its shape; then memory is checked; then everything is packed at once.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"
#include "nn/linear.h"
#include "nn/team.h"

namespace pelton::models {

// Used once, by one thread. The slots that Matrix and Vector are given must stay where they are
// until Pack has returned; what is written to them points into the arena.
class WeightPlan {
 public:
  // `quantize`: what matrices of floats are packed as; nothing: as they are.
  explicit WeightPlan(const format::ModelFile& file,
                      std::optional<tensor::DType> quantize = std::nullopt)
      : file_(file), quantize_(quantize) {}

  // [outputs, inputs]. The shape must be exactly this.
  Status Matrix(std::string_view name, int outputs, int inputs, nn::Linear* slot);
  // One matrix of several stacked in a tensor, in the order of its rows.
  struct Stacked {
    int outputs = 0;
    nn::Linear* slot = nullptr;
  };
  Status Matrices(std::string_view name, std::span<const Stacked> parts, int inputs);
  // [n] floats of any float type, kept in fp32.
  Status Vector(std::string_view name, int n, const float** slot);
  // Is read by other means, and counts as known.
  void Known(std::string_view name) { known_.emplace(name); }

  // INVALID_ARGUMENT naming the first tensor that nothing above asked for: a file with biases or
  // experts that the family's graph does not have must not be answered from without them.
  Status RefuseUnknown() const;

  uint64_t packed_bytes() const { return packed_bytes_; }
  uint64_t parameters() const { return parameters_; }
  // The type that most elements of the layers' matrices have, "Q4_1". The embedding does not count:
  // in small models it outweighs the layers and keeps a finer type.
  std::string CommonestType() const;

  // One run of the arena.
  struct Section {
    const format::Tensor* tensor = nullptr;
    std::span<const std::byte> source;          // all of the tensor, or its rows that this is
    tensor::DType dtype = tensor::DType::kF32;  // that it is packed as
    kernels::PackedMatrix matrix;               // layout kNone: a vector of fp32
    uint64_t bytes = 0;                         // each begins at a multiple of 64
  };
  std::vector<Section> Sections() const;  // in the order of the arena; scales only after packing
  // Takes `arena` as what Pack has made of it once; `post_scales` one a section.
  void Adopt(nn::WeightArena& arena, std::span<const float> post_scales) const;

  // Packs everything into `arena`, which holds packed_bytes(), and drops the file's pages as it
  // goes. The caller holds the team's Turn.
  Status Pack(nn::WeightArena& arena, nn::Team& team,
              const std::function<void(uint64_t done, uint64_t total)>& progress) const;

 private:
  struct MatrixItem {
    const format::Tensor* tensor = nullptr;
    std::span<const std::byte> rows;            // of the tensor
    tensor::DType dtype = tensor::DType::kF32;  // that it is packed as
    nn::Linear* slot = nullptr;
  };
  struct VectorItem {
    const format::Tensor* tensor = nullptr;
    const float** slot = nullptr;
  };
  Result<const format::Tensor*> Take(std::string_view name, std::vector<int64_t> shape);
  tensor::DType PackedType(const format::Tensor& tensor) const;

  const format::ModelFile& file_;
  const std::optional<tensor::DType> quantize_;
  std::vector<MatrixItem> matrices_;
  std::vector<VectorItem> vectors_;
  std::set<std::string, std::less<>> known_;
  uint64_t packed_bytes_ = 0;
  uint64_t parameters_ = 0;
};

}  // namespace pelton::models
