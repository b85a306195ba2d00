#include "serving/model_measure.h"

#include <algorithm>
#include <cmath>

namespace pelton::serving {
namespace {

constexpr double kNewest = 1. / 16;  // weight of the newest value
constexpr double kBytesPerTokenMax = 64;

void Follow(std::atomic<double>* mean, double value) {
  mean->store(mean->load() + kNewest * (value - mean->load()));
}

}  // namespace

int64_t ModelMeasure::TokensOfBytes(size_t bytes) const {
  return static_cast<int64_t>(std::ceil(static_cast<double>(bytes) / bytes_per_token_.load()));
}

void ModelMeasure::Tokenized(size_t bytes, int64_t tokens) {
  if (bytes == 0 || tokens <= 0) return;
  Follow(&bytes_per_token_, std::clamp(static_cast<double>(bytes) / static_cast<double>(tokens),
                                       0.25, kBytesPerTokenMax));
}

void ModelMeasure::Answered(int64_t tokens) {
  if (tokens > 0) Follow(&answer_tokens_, static_cast<double>(tokens));
}

}  // namespace pelton::serving
