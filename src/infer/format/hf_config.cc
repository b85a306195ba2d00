// config.json of the families that are read → GGUF's keys.
// Sources: the published configurations, and the defaults of transformers' configuration classes.
#include <fmt/format.h>

#include <numbers>

#include "format/gguf.h"
#include "format/hf_json.h"

namespace pelton::format {
namespace {

using codec::Json;

constexpr uint64_t kWholeMax = 1u << 30;  // the models' own bounds are narrower

struct Family {
  std::string_view class_name;  // of "architectures"
  std::string_view architecture;
  // What transformers takes where the configuration says nothing.
  uint64_t context = 2048;
  uint64_t head_dim = 0;  // 0: hidden_size / num_attention_heads
  double eps = 1e-6;
};
constexpr Family kFamilies[] = {{"LlamaForCausalLM", "llama"},
                                {"MistralForCausalLM", "llama"},
                                {"Gemma2ForCausalLM", "gemma2", 8192, 256},
                                {"Gemma3ForCausalLM", "gemma3", 131072, 256},
                                {"Olmo2ForCausalLM", "olmo2", 2048, 0, 1e-5},
                                {"Phi3ForCausalLM", "phi3", 4096, 0, 1e-5},
                                {"Qwen2ForCausalLM", "qwen2", 32768},
                                {"Qwen3ForCausalLM", "qwen3", 32768, 128}};

Status NotSupported(std::string_view what) {
  return Unimplemented(fmt::format("config.json: {} is not supported", what));
}

class ConfigReader {
 public:
  ConfigReader(const Json& config, std::string prefix, HfStore& store, Metadata& metadata)
      : config_(config), prefix_(std::move(prefix)), store_(store), metadata_(metadata) {}

  // `from` as a whole number under `key`; `fallback` when it is not there (0: it must be).
  Result<uint64_t> Whole(std::string_view from, std::string_view key, uint64_t fallback = 0) {
    const Json* json = Member(&config_, from);
    const auto value = json == nullptr && fallback > 0 ? std::optional(fallback)
                       : json == nullptr               ? std::nullopt
                                                       : json->AsUint();
    if (!value || *value == 0 || *value > kWholeMax) {
      return InvalidArgument(fmt::format("config.json: {} is {}", from,
                                         json == nullptr ? "missing" : "not a whole number in range"));
    }
    metadata_.Set(prefix_ + std::string(key), *value);
    return *value;
  }
  Status Number(std::string_view from, std::string_view key, double fallback) {
    const Json* json = Member(&config_, from);
    const auto value = json == nullptr ? std::optional(fallback) : json->AsDouble();
    if (!value) return InvalidArgument(fmt::format("config.json: {} is not a number", from));
    metadata_.Set(prefix_ + std::string(key), *value);
    return OkStatus();
  }
  void Set(std::string_view key, MetadataValue value) {
    metadata_.Set(prefix_ + std::string(key), std::move(value));
  }
  std::string_view Keep(std::string_view text) { return store_.Keep(std::string(text)); }

 private:
  const Json& config_;
  const std::string prefix_;
  HfStore& store_;
  Metadata& metadata_;
};

// Divisors of the inverse frequencies [head_dim / 2], by the Llama 3.1 model card.
Result<std::vector<float>> Llama3Factors(const Json& rope, uint64_t head_dim, double theta) {
  const auto factor = NumberMember(&rope, "factor"), low = NumberMember(&rope, "low_freq_factor"),
             high = NumberMember(&rope, "high_freq_factor"),
             original = NumberMember(&rope, "original_max_position_embeddings");
  if (!factor || !low || !high || !original || !(*factor > 0) || !(*low > 0) || !(*high > *low) ||
      !(*original > 0) || head_dim > 4096) {
    return InvalidArgument("config.json: rope scaling llama3 lacks a factor, or has one out of range");
  }
  std::vector<float> out;
  for (uint64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    const double wavelength = 2.0 * std::numbers::pi * std::pow(theta, exponent);
    double divisor = 1.0;
    if (wavelength > *original / *low) {
      divisor = *factor;
    } else if (wavelength >= *original / *high) {
      const double smooth = (*original / wavelength - *low) / (*high - *low);
      divisor = 1.0 / ((1.0 - smooth) / *factor + smooth);
    }
    out.push_back(static_cast<float>(divisor));
  }
  return out;
}

// `rope`: rope_parameters (transformers 5) or rope_scaling (before), or null.
Status ReadRope(const Json* rope, double theta, uint64_t head_dim, ConfigReader& reader, HfModel& model) {
  theta = NumberMember(rope, "rope_theta").value_or(theta);
  reader.Set("rope.freq_base", theta);
  const std::string_view type = TextMember(rope, "rope_type", TextMember(rope, "type", "default"));
  if (type == "default") return OkStatus();
  if (type == "llama3") {
    auto factors = Llama3Factors(*rope, head_dim, theta);
    RETURN_IF_ERROR(factors.status());
    model.rope_factors = *std::move(factors);
    return OkStatus();
  }
  if (type != "linear") return NotSupported(fmt::format("rope scaling \"{}\"", ShownName(type)));
  const auto factor = NumberMember(rope, "factor");
  if (!factor) return InvalidArgument("config.json: linear rope scaling without a factor");
  reader.Set("rope.scaling.type", reader.Keep("linear"));
  reader.Set("rope.scaling.factor", *factor);
  return OkStatus();
}

// rope_parameters (transformers 5) or rope_scaling (before), or null; and the base beside it.
Status ReadRopeOf(const Json& config, uint64_t rope_dim, ConfigReader& reader, HfModel& model) {
  const Json* rope = Member(&config, "rope_parameters");
  if (rope == nullptr) rope = Member(&config, "rope_scaling");
  return ReadRope(rope, NumberMember(&config, "rope_theta").value_or(10000.0), rope_dim, reader, model);
}

// Qwen2, Qwen3 and OLMo 2.
Status ReadPlain(const Json& config, uint64_t head_dim, ConfigReader& reader, HfModel& model) {
  if (BoolMember(&config, "use_sliding_window", false)) return NotSupported("use_sliding_window");
  return ReadRopeOf(config, head_dim, reader, model);
}

// Of LongRoPE the short factors, and cos and sin larger by what the context has grown.
Status ReadPhi3(const Json& config, uint64_t head_dim, ConfigReader& reader, HfModel& model) {
  if (Member(&config, "sliding_window") != nullptr) {
    RETURN_IF_ERROR(reader.Whole("sliding_window", "attention.sliding_window"));
  }
  const Json* rope = Member(&config, "rope_parameters");
  if (rope == nullptr) rope = Member(&config, "rope_scaling");
  const double part = NumberMember(rope, "partial_rotary_factor")
                          .value_or(NumberMember(&config, "partial_rotary_factor").value_or(1.0));
  if (!(part > 0 && part <= 1)) return NotSupported("this partial_rotary_factor");
  const auto rope_dim = static_cast<uint64_t>(part * static_cast<double>(head_dim));
  reader.Set("rope.dimension_count", rope_dim);
  const std::string_view type = TextMember(rope, "rope_type", TextMember(rope, "type", "default"));
  if (type != "longrope" && type != "su") return ReadRopeOf(config, rope_dim, reader, model);
  const double theta = NumberMember(&config, "rope_theta").value_or(10000.0);
  reader.Set("rope.freq_base", NumberMember(rope, "rope_theta").value_or(theta));
  const Json* factors = Member(rope, "short_factor");
  const Json::Array* list = factors == nullptr ? nullptr : factors->AsArray();
  auto original = WholeMember(&config, "original_max_position_embeddings");
  if (!original) original = WholeMember(rope, "original_max_position_embeddings");
  if (list == nullptr || list->size() != rope_dim / 2 || !original || *original < 2) {
    return InvalidArgument("config.json: longrope lacks a short_factor for each pair of dimensions, or "
                           "original_max_position_embeddings");
  }
  for (const Json& factor : *list) {
    model.rope_factors.push_back(static_cast<float>(factor.AsDouble().value_or(0.0)));  // checked when loaded
  }
  model.rope_factors_name = "rope_factors_short.weight";
  reader.Set("rope.scaling.original_context_length", *original);
  const double grown = static_cast<double>(WholeMember(&config, "max_position_embeddings").value_or(4096)) /
                       static_cast<double>(*original);
  const double usual = grown <= 1 ? 1 : std::sqrt(1 + std::log(grown) / std::log(static_cast<double>(*original)));
  reader.Set("rope.scaling.attn_factor", NumberMember(rope, "attention_factor").value_or(usual));
  return OkStatus();
}

Status ReadLlama(const Json& config, std::string_view class_name, uint64_t head_dim,
                 ConfigReader& reader, HfModel& model) {
  // Rows of q and k are as trained: pairs lie half a head apart.
  reader.Set("rope.halves", true);
  const Json* window = config.Find("sliding_window");
  if (class_name == "MistralForCausalLM" && (window == nullptr || !window->is_null())) {
    RETURN_IF_ERROR(reader.Whole("sliding_window", "attention.sliding_window", 4096));
  }
  return ReadRopeOf(config, head_dim, reader, model);
}

// Every p-th layer attends to everything, the others to a window.
Result<uint64_t> LayerPattern(const Json& config, uint64_t layers) {
  const Json* types = Member(&config, "layer_types");
  if (types == nullptr || types->AsArray() == nullptr) {
    const uint64_t pattern = WholeMember(&config, "sliding_window_pattern").value_or(6);
    if (pattern == 0 || pattern > 64) return NotSupported("this sliding_window_pattern");
    return pattern;
  }
  const Json::Array& list = *types->AsArray();
  uint64_t pattern = 0;
  for (uint64_t i = 0; i < list.size() && pattern == 0; ++i) {
    if (TextOf(&list[i]) == "full_attention") pattern = i + 1;
  }
  if (pattern == 0) pattern = std::min<uint64_t>(layers + 1, 64);
  bool regular = list.size() == layers;
  for (uint64_t i = 0; regular && i < layers; ++i) {
    const bool full = (i + 1) % pattern == 0;
    regular = TextOf(&list[i]) == (full ? "full_attention" : "sliding_attention");
  }
  if (!regular) return NotSupported("this order of layer_types");
  return pattern;
}

// What Gemma 2 and 3 share. GGUF has no key for how queries are scaled: the families' rule is the width
// of a head, and dim / heads for the 27B, which has `layers_of_27b`.
Status ReadGemma(const Json& config, uint64_t head_dim, uint64_t layers_of_27b, ConfigReader& reader,
                 HfModel& model) {
  model.norms_from_zero = true;
  const std::string_view activation = TextMember(&config, "hidden_activation", "gelu_pytorch_tanh");
  if (activation != "gelu_pytorch_tanh") {
    return NotSupported(fmt::format("hidden_activation \"{}\"", ShownName(activation)));
  }
  if (NumberMember(&config, "query_pre_attn_scalar").value_or(256.0) != static_cast<double>(head_dim) &&
      model.layers != layers_of_27b) {
    return NotSupported("a query_pre_attn_scalar other than head_dim");
  }
  return reader.Whole("sliding_window", "attention.sliding_window", 4096).status();
}

Status ReadGemma2(const Json& config, uint64_t head_dim, ConfigReader& reader, HfModel& model) {
  RETURN_IF_ERROR(ReadGemma(config, head_dim, 46, reader, model));
  const auto cap = [&](const char* key, double usual) {
    const Json* value = config.Find(key);
    if (value == nullptr || !value->is_null()) return reader.Number(key, key, usual);
    reader.Set(key, 0.0);  // none
    return OkStatus();
  };
  RETURN_IF_ERROR(cap("attn_logit_softcapping", 50.0));
  RETURN_IF_ERROR(cap("final_logit_softcapping", 30.0));
  const Json* types = Member(&config, "layer_types");
  const Json::Array* list = types == nullptr ? nullptr : types->AsArray();
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    if (TextOf(&(*list)[i]) != (i % 2 == 0 ? "sliding_attention" : "full_attention")) {
      return NotSupported("this order of layer_types");
    }
  }
  return ReadRopeOf(config, head_dim, reader, model);
}

Status ReadGemma3(const Json& config, uint64_t head_dim, ConfigReader& reader, HfModel& model) {
  RETURN_IF_ERROR(ReadGemma(config, head_dim, 62, reader, model));
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (Member(&config, key) != nullptr) return NotSupported(key);
  }
  const auto pattern = LayerPattern(config, model.layers);
  RETURN_IF_ERROR(pattern.status());
  reader.Set("attention.sliding_window_pattern", *pattern);
  const Json* parameters = Member(&config, "rope_parameters");
  const Json* local = Member(parameters, "sliding_attention");
  const double local_base = NumberMember(local, "rope_theta")
                                .value_or(NumberMember(&config, "rope_local_base_freq").value_or(10000.0));
  if (local_base != 10000.0 || TextMember(local, "rope_type", "default") != "default") {
    return NotSupported("another rotary embedding in windowed layers than base 10000");
  }
  const Json* global = Member(parameters, "full_attention");
  if (global == nullptr) global = Member(&config, "rope_scaling");
  const double theta = NumberMember(&config, "rope_theta").value_or(1e6);
  return ReadRope(global, theta, head_dim, reader, model);
}

Result<const Family*> FamilyOf(const Json& config) {
  const Json* classes = Member(&config, "architectures");
  const Json::Array* list = classes == nullptr ? nullptr : classes->AsArray();
  const std::string_view name = list == nullptr || list->empty() ? "" : TextOf(&list->front());
  for (const Family& family : kFamilies) {
    if (family.class_name == name) return &family;
  }
  std::string known;
  for (const Family& family : kFamilies) known += fmt::format(" {}", family.class_name);
  return Unimplemented(fmt::format("config.json: architecture \"{}\" is not supported; this build reads{}",
                                   ShownName(name), known));
}

Status ReadOwn(const Family& family, const Json& config, uint64_t head_dim, ConfigReader& reader,
               HfModel& model) {
  const std::string_view name = family.architecture;
  if (name == "gemma2") return ReadGemma2(config, head_dim, reader, model);
  if (name == "gemma3") return ReadGemma3(config, head_dim, reader, model);
  const std::string_view activation = TextMember(&config, "hidden_act", "silu");
  if (activation != "silu") return NotSupported(fmt::format("hidden_act \"{}\"", ShownName(activation)));
  if (name == "phi3") return ReadPhi3(config, head_dim, reader, model);
  if (name == "llama") return ReadLlama(config, family.class_name, head_dim, reader, model);
  return ReadPlain(config, head_dim, reader, model);
}

}  // namespace

Result<HfModel> ReadHfConfig(const Json& config, HfStore& store, Metadata& metadata) {
  if (config.AsObject() == nullptr) return InvalidArgument("config.json: not an object");
  const auto family = FamilyOf(config);
  RETURN_IF_ERROR(family.status());
  if (Member(&config, "quantization_config") != nullptr) {
    return NotSupported("a quantised checkpoint (quantization_config)");
  }
  HfModel model;
  model.architecture = (*family)->architecture;
  metadata.Set("general.architecture", store.Keep(model.architecture));
  ConfigReader reader(config, model.architecture + ".", store, metadata);
  const auto layers = reader.Whole("num_hidden_layers", "block_count");
  RETURN_IF_ERROR(layers.status());
  model.layers = *layers;
  const auto dim = reader.Whole("hidden_size", "embedding_length");
  RETURN_IF_ERROR(dim.status());
  RETURN_IF_ERROR(reader.Whole("intermediate_size", "feed_forward_length"));
  RETURN_IF_ERROR(reader.Whole("max_position_embeddings", "context_length", (*family)->context));
  const auto heads = reader.Whole("num_attention_heads", "attention.head_count");
  RETURN_IF_ERROR(heads.status());
  RETURN_IF_ERROR(reader.Whole("num_key_value_heads", "attention.head_count_kv", *heads));
  const auto head_dim = reader.Whole("head_dim", "attention.key_length",
                                     (*family)->head_dim != 0 ? (*family)->head_dim : std::max<uint64_t>(*dim / *heads, 1));
  RETURN_IF_ERROR(head_dim.status());
  reader.Set("attention.value_length", *head_dim);
  RETURN_IF_ERROR(reader.Number("rms_norm_eps", "attention.layer_norm_rms_epsilon", (*family)->eps));
  model.tied = BoolMember(&config, "tie_word_embeddings", model.architecture.starts_with("gemma"));
  RETURN_IF_ERROR(ReadOwn(**family, config, *head_dim, reader, model));
  return model;
}

void ReadHfGeneration(const Json& generation, Metadata& metadata) {
  if (!BoolMember(&generation, "do_sample", false)) return;
  constexpr std::pair<const char*, const char*> kNumbers[] = {{"temperature", "temp"},
                                                              {"top_p", "top_p"},
                                                              {"min_p", "min_p"},
                                                              {"repetition_penalty", "penalty_repeat"}};
  for (const auto& [from, to] : kNumbers) {
    if (const auto value = NumberMember(&generation, from)) {
      metadata.Set(fmt::format("general.sampling.{}", to), *value);
    }
  }
  if (const auto top_k = WholeMember(&generation, "top_k")) metadata.Set("general.sampling.top_k", *top_k);
}

}  // namespace pelton::format
