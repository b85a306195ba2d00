// Linear layers: packed weights, input rows in the form that they take, and the products of one set
// of input rows with several matrices in one parallel region (q, k and v; gate and up).
//
// Building a model: Plan every matrix, add up PackedBytes (rounded by WeightArena::Rounded), check
// memory, create one WeightArena, Pack. A step: Activations::Load once per distinct input, Multiply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "base/mapped_file.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "nn/team.h"
#include "tensor/dtype.h"

namespace pelton::nn {

// One huge-page region that all weights of a model lie in. Thread-compatible.
class WeightArena {
 public:
  WeightArena() = default;
  static Result<WeightArena> Create(uint64_t bytes);  // RESOURCE_EXHAUSTED when refused
  static uint64_t Rounded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }
  // The next `bytes`, 64-byte-aligned and zeroed. Taking more than was created is a bug (CHECK).
  std::byte* Take(uint64_t bytes);
  // All of it, up to the next multiple of 4096: what a packed file holds.
  std::span<std::byte> Whole() { return {buffer_.data(), buffer_.size()}; }

 private:
  HugeBuffer buffer_;
  uint64_t used_ = 0;
};

// A weight matrix [outputs, inputs]. A view into an arena, cheap to copy, immutable once packed.
class Linear {
 public:
  // 1 ≤ outputs, inputs ≤ kDimMax; inputs is a multiple of the dtype's block (caller has checked).
  static constexpr int kDimMax = 1 << 24;

  Linear() = default;
  static Linear Plan(tensor::DType dtype, int outputs, int inputs);

  int outputs() const { return packed_.n; }
  int inputs() const { return packed_.k; }
  uint64_t PackedBytes() const;
  // rows: [outputs, inputs] in `source`, row-major: the planned dtype, or floats, which are then
  // quantised to it. dst: PackedBytes(), 64-byte-aligned, outlives this.
  // `progress` (may be empty) is called on the calling thread with the source bytes done since its
  // last call. Holds no Turn itself: the caller does.
  void Pack(tensor::DType source, const std::byte* rows, std::byte* dst, Team& team,
            const std::function<void(uint64_t source_bytes)>& progress);
  // `data` is what Pack has made of this plan once, with this scale.
  void Adopt(const std::byte* data, float post_scale);
  bool packed() const { return packed_.data != nullptr; }

  void UnpackRow(int row, float* out) const { kernels::UnpackRow(packed_, row, out); }
  tensor::DType dtype() const { return dtype_; }
  const kernels::PackedMatrix& matrix() const { return packed_; }

 private:
  std::vector<std::byte> Quantized(tensor::DType source, const std::byte* rows, int panel) const;
  float ScaleOf(tensor::DType source, const std::byte* rows, Team& team) const;
  void PackQuantized(tensor::DType source, const std::byte* rows, int panel, std::byte* dst) const;

  tensor::DType dtype_ = tensor::DType::kF32;
  kernels::PackedMatrix packed_;
};

// Input rows of linear layers. Its memory is taken at construction and reused. Not thread-safe.
class Activations {
 public:
  // Unless `batch_invariant`, few rows are multiplied with table.few_rows.
  static Result<Activations> Create(const kernels::KernelTable& table, int rows_max,
                                    int inputs_max, bool batch_invariant = true);

  // Takes rows x [rows, inputs] (row stride ldx floats) and quantises them once; `x` must stay
  // valid and unchanged until the last Multiply that uses it (matrices of floats read it).
  void Load(Team& team, const float* x, int64_t ldx, int rows, int inputs);

  // Room for `rows` quantised rows that somebody else writes; there are no floats of them.
  void Make(int rows, int inputs);

  int rows() const { return rows_; }
  int inputs() const { return inputs_; }
  const float* floats() const { return x_; }
  int64_t stride() const { return ldx_; }
  const std::byte* quantized(int row) const { return buffer_.data() + static_cast<size_t>(row) * row_bytes_; }
  std::byte* quantized(int row) { return buffer_.data() + static_cast<size_t>(row) * row_bytes_; }
  // The one that reads the present rows.
  const kernels::KernelTable& table() const { return *chosen_; }

 private:
  const kernels::KernelTable* table_ = nullptr;
  const kernels::KernelTable* chosen_ = nullptr;
  int few_rows_max_ = 0;
  int rows_max_ = 0, inputs_max_ = 0;
  const float* x_ = nullptr;
  int64_t ldx_ = 0;
  int rows_ = 0, inputs_ = 0;
  size_t row_bytes_ = 0;  // of a quantised row of inputs_
  HugeBuffer buffer_;
};

struct Product {
  const Linear* weight = nullptr;
  float* y = nullptr;  // [rows, weight->outputs()]
  int64_t ldy = 0;     // floats between rows of y
};

// y = x · wᵀ for every product, all over the same input rows; one parallel region.
void Multiply(Team& team, const Activations& x, std::span<const Product> products);

// Whether MultiplyGated does it.
bool CanGate(const Activations& x, const Linear& gate, const Linear& up, const Linear& down);
// gate(x · gateᵀ) · (x · upᵀ), quantised, into `out`: the bits of two products and GateRows.
void MultiplyGated(Team& team, const Activations& x, const Linear& gate, const Linear& up, bool gelu,
                   Activations& out);

}  // namespace pelton::nn
