// Small readers over the JSON files of a Hugging Face folder. Private to the room.
#pragma once

#include <cmath>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/json.h"
#include "format/model_file.h"

namespace pelton::format {

// Where strings and numbers live that metadata and tensors made here point to; grows in place.
struct HfStore {
  std::deque<std::string> texts;
  std::deque<std::vector<float>> floats;
  std::string_view Keep(std::string text) { return texts.emplace_back(std::move(text)); }
};

// Null when missing or JSON null: configurations use the two alike.
inline const codec::Json* Member(const codec::Json* json, std::string_view key) {
  const codec::Json* value = json == nullptr ? nullptr : json->Find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

inline std::string_view TextOf(const codec::Json* json, std::string_view fallback = "") {
  const std::string* text = json == nullptr ? nullptr : json->AsString();
  return text == nullptr ? fallback : std::string_view(*text);
}
inline std::string_view TextMember(const codec::Json* json, std::string_view key,
                                   std::string_view fallback = "") {
  return TextOf(Member(json, key), fallback);
}
inline bool BoolMember(const codec::Json* json, std::string_view key, bool fallback) {
  const codec::Json* value = Member(json, key);
  return value == nullptr ? fallback : value->AsBool().value_or(fallback);
}
inline std::optional<double> NumberMember(const codec::Json* json, std::string_view key) {
  const codec::Json* value = Member(json, key);
  return value == nullptr ? std::nullopt : value->AsDouble();
}
inline std::optional<uint64_t> WholeMember(const codec::Json* json, std::string_view key) {
  const codec::Json* value = Member(json, key);
  return value == nullptr ? std::nullopt : value->AsUint();
}

// What config.json says, beside the keys that it gives.
struct HfModel {
  std::string architecture;          // as GGUF names it
  uint64_t layers = 0;
  bool tied = false;                 // the output head is the embedding, whatever the files hold
  bool norms_from_zero = false;      // weights of norms are kept less one
  std::vector<float> rope_factors;   // divisors of inverse frequencies, or empty
  std::string rope_factors_name = "rope_freqs.weight";  // as which tensor
};

// config.json → metadata under GGUF's keys. UNIMPLEMENTED names what is not supported.
Result<HfModel> ReadHfConfig(const codec::Json& config, HfStore& store, Metadata& metadata);
// generation_config.json → general.sampling.*.
void ReadHfGeneration(const codec::Json& generation, Metadata& metadata);

struct HfTokenizerFiles {
  const codec::Json* tokenizer = nullptr;         // tokenizer.json
  const codec::Json* tokenizer_config = nullptr;  // the rest may be null
  const codec::Json* config = nullptr;
  const codec::Json* generation = nullptr;
  std::string chat_template;                      // chat_template.jinja, or empty
};
// tokenizer.json and what belongs to it → tokenizer.ggml.* and tokenizer.chat_template.
Status ReadHfTokenizer(const HfTokenizerFiles& files, HfStore& store, Metadata& metadata);

}  // namespace pelton::format
