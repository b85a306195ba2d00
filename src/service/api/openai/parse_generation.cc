#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "api/openai/parse.h"

namespace pelton::api::openai {
namespace {

using codec::Json;

std::optional<float> FloatOf(const Json& body, std::string_view name) {
  const Json* value = Given(body, name);
  if (value == nullptr) return std::nullopt;
  return static_cast<float>(*value->AsDouble());
}

std::optional<int> IntOf(const Json& body, std::string_view name) {
  const Json* value = Given(body, name);
  if (value == nullptr) return std::nullopt;
  return static_cast<int>(*value->AsInt());
}

Status ReadStop(const Json& body, std::vector<std::string>* stops) {
  const Json* value = Given(body, "stop");
  if (value == nullptr) return OkStatus();
  const auto add = [&](const Json& item) {
    const std::string* text = item.AsString();
    if (text == nullptr) return BadField("stop", "must be a string or an array of strings");
    if (text->empty() || text->size() > serving::kStopBytesMax) {
      return BadField("stop", fmt::format("strings must have 1 to {} bytes, one has {}",
                                          serving::kStopBytesMax, text->size()));
    }
    stops->push_back(*text);
    return OkStatus();
  };
  const Json::Array* array = value->AsArray();
  if (array == nullptr) return add(*value);
  if (array->size() > static_cast<size_t>(serving::kStopsMax)) {
    return BadField("stop", fmt::format("has {} strings; at most {} are allowed", array->size(),
                                        serving::kStopsMax));
  }
  for (const Json& item : *array) RETURN_IF_ERROR(add(item));
  return OkStatus();
}

Status ReadLogitBias(const Json& body,
                     std::vector<std::pair<backend::TokenId, float>>* logit_bias) {
  const Json* value = Given(body, "logit_bias");
  if (value == nullptr) return OkStatus();
  const Json::Object& members = *value->AsObject();
  if (members.size() > static_cast<size_t>(serving::kLogitBiasMax)) {
    return BadField("logit_bias", fmt::format("has {} tokens; at most {} are allowed",
                                              members.size(), serving::kLogitBiasMax));
  }
  for (const auto& [key, addend] : members) {
    backend::TokenId id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      return BadField("logit_bias", "keys must be token ids");
    }
    const auto number = addend.AsDouble();
    if (!number || !(*number >= -100 && *number <= 100)) {
      return BadField("logit_bias", "values must be numbers between -100 and 100");
    }
    logit_bias->emplace_back(id, static_cast<float>(*number));
  }
  return OkStatus();
}

Status ReadStream(const Json& body, AnswerForm* form) {
  form->stream = GivenBool(body, "stream", false);
  const Json* options = Given(body, "stream_options");
  if (options == nullptr) return OkStatus();
  if (!form->stream) return BadField("stream_options", "is only allowed with 'stream': true");
  for (const auto& [name, value] : *options->AsObject()) {
    if (name != "include_usage") {
      if (name != "include_obfuscation" || value.AsBool().value_or(false)) {
        form->ignored.push_back("stream_options." + name);
      }
      continue;
    }
    if (value.is_null()) continue;
    if (!value.AsBool()) {
      return BadField("stream_options.include_usage",
                      fmt::format("must be a boolean, not {}", value.KindName()));
    }
    form->include_usage = *value.AsBool();
  }
  return OkStatus();
}

}  // namespace

Status ReadGeneration(const Json& body, ParsedRequest* out) {
  serving::GenerateRequest& request = out->request;
  if (const Json* model = Given(body, "model")) request.model = *model->AsString();
  request.n = IntOf(body, "n").value_or(1);
  request.max_tokens = IntOf(body, "max_completion_tokens");
  if (!request.max_tokens) request.max_tokens = IntOf(body, "max_tokens");
  serving::SamplingWish& wish = request.sampling;
  wish.temperature = FloatOf(body, "temperature");
  wish.top_p = FloatOf(body, "top_p");
  wish.min_p = FloatOf(body, "min_p");
  wish.typical_p = FloatOf(body, "typical_p");
  wish.repetition_penalty = FloatOf(body, "repetition_penalty");
  wish.frequency_penalty = FloatOf(body, "frequency_penalty");
  wish.presence_penalty = FloatOf(body, "presence_penalty");
  wish.top_k = IntOf(body, "top_k");
  if (const Json* seed = Given(body, "seed")) wish.seed = seed->AsInt();
  RETURN_IF_ERROR(ReadStop(body, &request.stop));
  RETURN_IF_ERROR(ReadLogitBias(body, &wish.logit_bias));
  // As vLLM's, where lower goes first.
  request.priority = -IntOf(body, "priority").value_or(0);
  if (const Json* timeout = Given(body, "timeout")) out->timeout_s = *timeout->AsDouble();
  out->form.timings = GivenBool(body, "timings", false);
  request.ignore_eos = GivenBool(body, "ignore_eos", false);
  request.include_stop_in_text = GivenBool(body, "include_stop_str_in_output", false);
  request.special_tokens_in_text = !GivenBool(body, "skip_special_tokens", true);
  return ReadStream(body, &out->form);
}

Result<serving::TokenPrompt> ReadTokenIds(const Json::Array& array, std::string_view param) {
  serving::TokenPrompt ids;
  ids.reserve(array.size());
  for (const Json& item : array) {
    const auto id = item.AsInt();
    if (!id || *id < 0 || *id > std::numeric_limits<backend::TokenId>::max()) {
      return BadField(param, "has an element that is no token id");
    }
    ids.push_back(static_cast<backend::TokenId>(*id));
  }
  return ids;
}

Result<Json> ParseBody(std::string_view body) {
  Result<Json> parsed = codec::ParseJson(body);
  if (!parsed.ok()) return parsed.status().Prefixed("the body is not valid JSON");
  return parsed;
}

}  // namespace pelton::api::openai
