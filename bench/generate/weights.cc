#include "generate/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/random.h"
#include "tensor/quantize.h"

namespace pelton::generate {
namespace {

uint64_t HashName(std::string_view name) {
  uint64_t hash = 0;
  for (const char c : name) hash = Mix64(hash ^ static_cast<unsigned char>(c));
  return hash;
}

// Two independent normal numbers from two uniform ones (Box and Muller 1958).
void NormalPair(Random* random, float* out) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - random->Uniform()));
  const double angle = 2.0 * std::numbers::pi * random->Uniform();
  out[0] = static_cast<float>(radius * std::cos(angle));
  out[1] = static_cast<float>(radius * std::sin(angle));
}

}  // namespace

BlockPool::BlockPool(tensor::DType type, double deviation, uint64_t seed)
    : run_bytes_(*tensor::RowBytes(type, kRun)), runs_(run_bytes_ * kRuns) {
  Random random(seed);
  std::vector<float> values(kRun);
  for (int64_t run = 0; run < kRuns; ++run) {
    for (size_t i = 0; i < values.size(); i += 2) NormalPair(&random, &values[i]);
    for (float& v : values) v *= static_cast<float>(deviation);
    tensor::QuantizeRow(type, values.data(), kRun, &runs_[static_cast<uint64_t>(run) * run_bytes_]);
  }
}

void BlockPool::FillRow(uint64_t row_seed, std::span<std::byte> out) const {
  uint64_t counter = 0;
  for (size_t at = 0; at < out.size(); at += run_bytes_) {
    const uint64_t run = Mix64(row_seed + counter++) % kRuns;
    std::memcpy(&out[at], &runs_[run * run_bytes_], std::min(run_bytes_, out.size() - at));
  }
}

const BlockPool& WeightSource::Pool(tensor::DType type, double deviation) {
  std::unique_ptr<BlockPool>& pool = pools_[{type, deviation}];
  if (!pool) {
    pool = std::make_unique<BlockPool>(type, deviation, Mix64(seed_) ^ static_cast<uint64_t>(type));
  }
  return *pool;
}

format::GgufWriter::Fill WeightSource::FillFor(const TensorPlan& plan) {
  const int64_t inner = plan.shape.back();
  const uint64_t tensor_seed = Mix64(seed_ ^ HashName(plan.name));
  if (plan.role == Role::kRopeFactors) {
    const double factor = shape_.name == "llama-3.1-8b" ? 8.0 : 32.0;
    return [values = RopeFactors(shape_.head_dim, shape_.rope_base, factor)](
               int64_t, std::span<std::byte> out) {
      std::memcpy(out.data(), values.data(), out.size());
    };
  }
  if (plan.role == Role::kNorm) {
    return [tensor_seed, inner](int64_t, std::span<std::byte> out) {
      Random random(tensor_seed);
      for (int64_t i = 0; i < inner; ++i) {
        const auto value = static_cast<float>(0.8 + 0.4 * random.Uniform());
        std::memcpy(&out[static_cast<size_t>(i) * sizeof(value)], &value, sizeof(value));
      }
    };
  }
  // 1/sqrt(inputs) keeps the size of the stream; what is added to it 2·layers times adds less each.
  double deviation = 1.0 / std::sqrt(static_cast<double>(inner));
  if (plan.role == Role::kResidualMatrix) {
    deviation /= std::sqrt(2.0 * static_cast<double>(shape_.layers));
  }
  const BlockPool& pool = Pool(plan.dtype, deviation);
  const uint64_t row_bytes = *tensor::RowBytes(plan.dtype, static_cast<uint64_t>(inner));
  return [&pool, tensor_seed, row_bytes](int64_t first_row, std::span<std::byte> out) {
    auto row = static_cast<uint64_t>(first_row);
    for (size_t at = 0; at < out.size(); at += row_bytes, ++row) {
      pool.FillRow(Mix64(tensor_seed ^ Mix64(row)), out.subspan(at, row_bytes));
    }
  };
}

std::vector<float> RopeFactors(int64_t head_dim, double rope_base, double factor) {
  constexpr double kContext = 8192, kLow = 1, kHigh = 4;  // config.json, rope_scaling
  std::vector<float> factors(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < factors.size(); ++i) {
    const double frequency =
        std::pow(rope_base, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    const double smooth = std::clamp((kContext / wavelength - kLow) / (kHigh - kLow), 0.0, 1.0);
    factors[i] = static_cast<float>(1.0 / ((1.0 - smooth) / factor + smooth));
  }
  return factors;
}

}  // namespace pelton::generate
