#include "api/llamacpp/parse.h"

#include <fmt/core.h>

#include <limits>
#include <utility>

namespace pelton::api::llamacpp {
namespace {

using codec::Json;

std::optional<float> FloatOf(const Json& body, std::string_view name) {
  const Json* value = Given(body, name);
  if (value == nullptr) return std::nullopt;
  return static_cast<float>(*value->AsDouble());
}

std::optional<int64_t> IntOf(const Json& body, std::string_view name) {
  const Json* value = Given(body, name);
  return value == nullptr ? std::nullopt : value->AsInt();
}

Result<serving::Prompt> ReadPrompt(const Json& body) {
  const Json* value = Given(body, "prompt");
  if (value == nullptr) return BadField("prompt", "is required");
  if (const std::string* text = value->AsString()) {
    return serving::Prompt(serving::TextPrompt{.text = *text, .add_special = true, .parse_special = true});
  }
  const Json::Array* array = value->AsArray();
  if (array == nullptr || array->empty()) return BadField("prompt", "must be a text or an array of token ids");
  serving::TokenPrompt ids;
  ids.reserve(array->size());
  for (const Json& item : *array) {
    const auto id = item.AsInt();
    if (!id || *id < 0 || *id > std::numeric_limits<backend::TokenId>::max()) {
      return BadField("prompt", "must be a text or an array of token ids: one prompt a request");
    }
    ids.push_back(static_cast<backend::TokenId>(*id));
  }
  return serving::Prompt(std::move(ids));
}

Status ReadStop(const Json& body, std::vector<std::string>* stops) {
  const Json* value = Given(body, "stop");
  if (value == nullptr) return OkStatus();
  const Json::Array& array = *value->AsArray();
  if (array.size() > static_cast<size_t>(serving::kStopsMax)) {
    return BadField("stop", fmt::format("has {} texts; at most {} are allowed", array.size(), serving::kStopsMax));
  }
  for (const Json& item : array) {
    const std::string* text = item.AsString();
    if (text == nullptr || text->empty() || text->size() > serving::kStopBytesMax) {
      return BadField("stop", fmt::format("must be strings of 1 to {} bytes", serving::kStopBytesMax));
    }
    stops->push_back(*text);
  }
  return OkStatus();
}

void ReadSampling(const Json& body, serving::SamplingWish* wish) {
  wish->temperature = FloatOf(body, "temperature");
  wish->top_p = FloatOf(body, "top_p");
  wish->min_p = FloatOf(body, "min_p");
  wish->typical_p = FloatOf(body, "typical_p");
  wish->repetition_penalty = FloatOf(body, "repeat_penalty");
  wish->presence_penalty = FloatOf(body, "presence_penalty");
  wish->frequency_penalty = FloatOf(body, "frequency_penalty");
  if (const auto top_k = IntOf(body, "top_k")) wish->top_k = static_cast<int>(*top_k);
  const auto seed = IntOf(body, "seed");
  if (seed && *seed != -1) wish->seed = *seed;
}

}  // namespace

Result<ParsedRequest> ParseCompletion(std::string_view text, bool strict) {
  const Result<Json> body = codec::ParseJson(text);
  if (!body.ok()) return body.status().Prefixed("the body is not valid JSON");
  ParsedRequest out;
  RETURN_IF_ERROR(CheckFields(*body, FieldTable(), kCompletion, strict, &out.form.ignored));
  if (const Json* model = Given(*body, "model")) out.request.model = *model->AsString();
  auto prompt = ReadPrompt(*body);
  if (!prompt.ok()) return prompt.status();
  out.request.prompts.push_back(*std::move(prompt));
  const auto tokens = IntOf(*body, "n_predict");
  if (tokens && *tokens > 0) out.request.max_tokens = static_cast<int>(*tokens);
  ReadSampling(*body, &out.request.sampling);
  RETURN_IF_ERROR(ReadStop(*body, &out.request.stop));
  out.request.ignore_eos = GivenBool(*body, "ignore_eos", false);
  out.form.stream = GivenBool(*body, "stream", false);
  return out;
}

}  // namespace pelton::api::llamacpp
