#include "models/hyper.h"

#include <fmt/core.h>

#include <cmath>
#include <optional>

#include "format/gguf.h"

namespace pelton::models {
namespace {

Status OutOfBounds(const std::string& key, double value, double low, double high) {
  return InvalidArgument(fmt::format("{} is {}, outside {} to {}", key, value, low, high));
}

// Rows of token_embd.weight; the other dimension is checked when the tensor is taken.
Result<int> VocabularySize(const format::ModelFile& file) {
  const format::Tensor* embedding = file.Find("token_embd.weight");
  if (embedding == nullptr) return NotFound("tensor token_embd.weight is missing");
  if (embedding->shape.size() != 2 || embedding->shape[0] > kVocabMax) {
    return InvalidArgument(fmt::format("tensor token_embd.weight must have two dimensions and at "
                                       "most {} rows", kVocabMax));
  }
  const int rows = static_cast<int>(embedding->shape[0]);
  const auto* tokens = file.metadata().Find("tokenizer.ggml.tokens");
  const auto* names = tokens == nullptr
                          ? nullptr : std::get_if<std::vector<std::string_view>>(tokens);
  if (names != nullptr && names->size() > static_cast<size_t>(rows)) {
    return InvalidArgument(fmt::format("tokenizer.ggml.tokens has {} entries but token_embd.weight "
                                       "only {} rows", names->size(), rows));
  }
  return rows;
}

Status ReadHeads(const format::Metadata& metadata, const std::string& prefix, Hyper& h) {
  auto heads = IntKey(metadata, prefix + "attention.head_count", 1, kHeadsMax);
  RETURN_IF_ERROR(heads.status());
  h.heads = *heads;
  auto kv_heads = IntKey(metadata, prefix + "attention.head_count_kv", 1, kHeadsMax, h.heads);
  RETURN_IF_ERROR(kv_heads.status());
  h.kv_heads = *kv_heads;
  if (h.heads % h.kv_heads != 0) {
    return InvalidArgument(fmt::format("{0}attention.head_count {1} is not a multiple of "
                                       "{0}attention.head_count_kv {2}", prefix, h.heads,
                                       h.kv_heads));
  }
  const std::string key = prefix + "attention.key_length";
  if (!metadata.Has(key) && h.dim % h.heads != 0) {
    return InvalidArgument(fmt::format("{0}embedding_length {1} is not a multiple of "
                                       "{0}attention.head_count {2}", prefix, h.dim, h.heads));
  }
  auto head_dim = IntKey(metadata, key, 2, kHeadDimMax, h.dim / h.heads);
  RETURN_IF_ERROR(head_dim.status());
  h.head_dim = *head_dim;
  if (h.head_dim < 2 || h.head_dim > kHeadDimMax || h.head_dim % 2 != 0) {
    return InvalidArgument(fmt::format("{}: heads of {} dimensions; even sizes from 2 to {} are read",
                                       key, h.head_dim, kHeadDimMax));
  }
  auto value_dim = IntKey(metadata, prefix + "attention.value_length", 2, kHeadDimMax, h.head_dim);
  RETURN_IF_ERROR(value_dim.status());
  if (*value_dim != h.head_dim) {
    return Unimplemented(fmt::format("{}attention.value_length {} differs from the key length {}",
                                     prefix, *value_dim, h.head_dim));
  }
  return OkStatus();
}

// Linear scaling under its present and its old key; other kinds are refused by name. Llama 3's own
// scaling is not a key: it comes as the tensor rope_freqs.weight.
Status ReadRope(const format::Metadata& metadata, const std::string& prefix, Hyper& h) {
  auto rope_dim = IntKey(metadata, prefix + "rope.dimension_count", 2, h.head_dim, h.head_dim);
  RETURN_IF_ERROR(rope_dim.status());
  h.rope_dim = *rope_dim;
  if (h.rope_dim % 2 != 0) {
    return InvalidArgument(fmt::format("{}rope.dimension_count {} is odd", prefix, h.rope_dim));
  }
  auto base = FloatKey(metadata, prefix + "rope.freq_base", 1.0, 1e12, 10000.0);
  RETURN_IF_ERROR(base.status());
  h.rope_base = *base;
  const std::string type_key = prefix + "rope.scaling.type";
  auto type = metadata.StringOr(type_key, "");
  RETURN_IF_ERROR(type.status());
  if (!type->empty() && *type != "none" && *type != "linear") {
    return Unimplemented(fmt::format("{}: rope scaling \"{}\" is not supported", type_key,
                                     format::ShownName(*type)));
  }
  if (*type == "none") return OkStatus();
  auto old_factor = FloatKey(metadata, prefix + "rope.scale_linear", 1e-3, 1e6, 1.0);
  RETURN_IF_ERROR(old_factor.status());
  auto factor = FloatKey(metadata, prefix + "rope.scaling.factor", 1e-3, 1e6, *old_factor);
  RETURN_IF_ERROR(factor.status());
  h.rope_divisor = *factor;
  return OkStatus();
}

}  // namespace

Result<int> IntKey(const format::Metadata& metadata, const std::string& key, int low, int high,
                   int fallback) {
  if (!metadata.Has(key) && fallback >= 0) return fallback;
  auto value = metadata.Uint(key);
  RETURN_IF_ERROR(value.status());
  if (*value < static_cast<uint64_t>(low) || *value > static_cast<uint64_t>(high)) {
    return InvalidArgument(fmt::format("{} is {}, outside {} to {}", key, *value, low, high));
  }
  return static_cast<int>(*value);
}

Result<double> FloatKey(const format::Metadata& metadata, const std::string& key, double low,
                        double high, std::optional<double> fallback) {
  if (!metadata.Has(key) && fallback) return *fallback;
  auto value = metadata.Float(key);
  if (!value.ok()) return value;
  if (!(*value >= low && *value <= high)) return OutOfBounds(key, *value, low, high);
  return value;
}

Result<Hyper> ReadHyper(const format::ModelFile& file, std::string_view architecture) {
  const format::Metadata& metadata = file.metadata();
  const std::string prefix = std::string(architecture) + ".";
  Hyper h;
  struct Field {
    const char* key;
    int high;
    int* slot;
  };
  for (const Field& field : {Field{"block_count", kLayersMax, &h.layers},
                             Field{"embedding_length", kDimMax, &h.dim},
                             Field{"feed_forward_length", kFeedForwardMax, &h.feed_forward},
                             Field{"context_length", kContextMax, &h.context}}) {
    auto value = IntKey(metadata, prefix + field.key, 1, field.high);
    RETURN_IF_ERROR(value.status());
    *field.slot = *value;
  }
  auto vocab = VocabularySize(file);
  RETURN_IF_ERROR(vocab.status());
  h.vocab = *vocab;
  RETURN_IF_ERROR(ReadHeads(metadata, prefix, h));
  RETURN_IF_ERROR(ReadRope(metadata, prefix, h));
  auto window = IntKey(metadata, prefix + "attention.sliding_window", 0, kContextMax, 0);
  RETURN_IF_ERROR(window.status());
  h.window = *window;
  auto eps = FloatKey(metadata, prefix + "attention.layer_norm_rms_epsilon", 0.0, 1.0, std::nullopt);
  RETURN_IF_ERROR(eps.status());
  h.rms_eps = static_cast<float>(*eps);
  auto experts = IntKey(metadata, prefix + "expert_count", 0, 1 << 16, 0);
  RETURN_IF_ERROR(experts.status());
  if (*experts != 0) {
    return Unimplemented(fmt::format("{}expert_count is {}: mixtures of experts are not supported",
                                     prefix, *experts));
  }
  return h;
}

std::vector<double> InverseFrequencies(double base, int rope_dim, double divisor) {
  std::vector<double> out(static_cast<size_t>(rope_dim / 2));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::pow(base, -2.0 * static_cast<double>(i) / rope_dim) / divisor;
  }
  return out;
}

Result<SamplingDefaults> ReadSamplingDefaults(const format::Metadata& metadata,
                                              const SamplingDefaults& family) {
  SamplingDefaults out = family;
  struct Field {
    const char* key;
    double low, high;
    std::optional<float>* slot;
  };
  for (const Field& field : {Field{"general.sampling.temp", 0.0, 100.0, &out.temperature},
                             Field{"general.sampling.top_p", 1e-6, 1.0, &out.top_p},
                             Field{"general.sampling.min_p", 0.0, 1.0, &out.min_p},
                             Field{"general.sampling.penalty_repeat", 0.01, 100.0,
                                   &out.repetition_penalty}}) {
    if (!metadata.Has(field.key)) continue;
    auto value = FloatKey(metadata, field.key, field.low, field.high, std::nullopt);
    RETURN_IF_ERROR(value.status());
    *field.slot = static_cast<float>(*value);
  }
  if (metadata.Has("general.sampling.top_k")) {
    auto value = IntKey(metadata, "general.sampling.top_k", 0, kVocabMax);
    RETURN_IF_ERROR(value.status());
    out.top_k = *value;
  }
  return out;
}

}  // namespace pelton::models
