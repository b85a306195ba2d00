// Hyper-parameters of a decoder, read from a file's metadata and checked, before any tensor is
// looked at. Errors name the key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"
#include "models/model.h"

namespace pelton::models {

// Bounds on what a file may say. Far above any published model, low enough that products of two of
// them stay in 63 bits.
inline constexpr int kLayersMax = 1024;
inline constexpr int kDimMax = 1 << 17;
inline constexpr int kHeadsMax = 1024;
inline constexpr int kHeadDimMax = 512;
inline constexpr int kFeedForwardMax = 1 << 20;
inline constexpr int kVocabMax = 1 << 22;
inline constexpr int kContextMax = 1 << 24;

struct Hyper {
  int layers = 0, dim = 0, feed_forward = 0, vocab = 0, context = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;
  int rope_dim = 0;
  int window = 0;  // 0: none
  float rms_eps = 0.f;
  double rope_base = 0.0;
  double rope_divisor = 1.0;  // of positions: linear scaling

  int q_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
};

// Keys are "<architecture>.…". The vocabulary's size comes from the shape of token_embd.weight.
Result<Hyper> ReadHyper(const format::ModelFile& file, std::string_view architecture);

// `key` as an int in [low, high]; `fallback` when missing, an error when there is no fallback (-1).
Result<int> IntKey(const format::Metadata& metadata, const std::string& key, int low, int high,
                   int fallback = -1);

// The same for a real number.
Result<double> FloatKey(const format::Metadata& metadata, const std::string& key, double low,
                        double high, std::optional<double> fallback = std::nullopt);

// [rope_dim / 2]: base^(-2i / rope_dim) / divisor.
std::vector<double> InverseFrequencies(double base, int rope_dim, double divisor);

// general.sampling.* of the file over `family`; values out of range are refused.
Result<SamplingDefaults> ReadSamplingDefaults(const format::Metadata& metadata,
                                              const SamplingDefaults& family);

}  // namespace pelton::models
