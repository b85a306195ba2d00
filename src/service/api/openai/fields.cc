#include "api/openai/fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "serving/request.h"

namespace pelton::api::openai {
namespace {

using codec::Json;
using enum FieldKind;

constexpr uint8_t kGenerate = kChat | kCompletions;
constexpr uint8_t kAll = kChat | kCompletions | kTokenize | kDetokenize;
constexpr size_t kIgnoredNamesMax = 20;
constexpr size_t kIgnoredNameBytesMax = 64;

constexpr FieldRow kRows[] = {
    {"model", kAll, kString, Effect::kHonoured,
     "Name from /v1/models; may be left out when only one is served."},
    {"messages", kChat | kTokenize, kArray, Effect::kHonoured,
     "The conversation; roles system, developer, user, assistant, tool."},
    {"prompt", kCompletions | kTokenize, kAny, Effect::kHonoured,
     "Text, token ids, or an array of either."},
    {"stream", kGenerate, kBool, Effect::kHonoured, "Answer as server-sent events."},
    {"stream_options", kGenerate, kObject, Effect::kHonoured,
     "include_usage: a last chunk with the usage."},
    {"n", kGenerate, kInteger, Effect::kHonoured,
     "Answers to each prompt.", 1, serving::kChoicesMax},
    {"max_tokens", kGenerate, kInteger, Effect::kHonoured,
     "Most tokens of an answer; clamped to what is left of the context.", 1,
     serving::kMaxTokensMax},
    {"max_completion_tokens", kChat, kInteger, Effect::kHonoured,
     "As max_tokens, and wins over it.", 1, serving::kMaxTokensMax},
    {"temperature", kGenerate, kNumber, Effect::kHonoured, "0: always the likeliest token.", 0, 2},
    {"top_p", kGenerate, kNumber, Effect::kHonoured,
     "Keep the likeliest tokens up to this mass.", 0, 1},
    {"top_k", kGenerate, kInteger, Effect::kHonoured,
     "Keep so many tokens; 0 and -1: all.", -1, 1 << 20},
    {"min_p", kGenerate, kNumber, Effect::kHonoured,
     "Keep tokens at least so likely relative to the best.", 0, 1},
    {"typical_p", kGenerate, kNumber, Effect::kHonoured,
     "Locally typical sampling; 1: off.", 0.001, 1},
    {"repetition_penalty", kGenerate, kNumber, Effect::kHonoured,
     "Over prompt and answer; 1: off.", 0.01, 10},
    {"frequency_penalty", kGenerate, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},
    {"presence_penalty", kGenerate, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},
    {"logit_bias", kGenerate, kObject, Effect::kHonoured,
     "Token id to an addend from -100 to 100; at most 1024."},
    {"seed", kGenerate, kInteger, Effect::kHonoured, "Same seed, same text. Any 64-bit integer."},
    {"timeout", kGenerate, kNumber, Effect::kHonoured,
     "Seconds in which the request must have begun; while it still waits then it is dropped (504).",
     0.001, serving::kTimeoutMaxS},
    {"priority", kGenerate, kInteger, Effect::kHonoured,
     "Lower goes first, as vLLM's; 0 is normal. Below 0 needs a key of role operator.",
     -serving::kPriorityMax, serving::kPriorityMax},
    {"timings", kGenerate, kBool, Effect::kHonoured,
     "Say in the answer where the time went: waiting, prompt, steps, preemptions."},
    {"stop", kGenerate, kAny, Effect::kHonoured, "A string or at most 16, each of 1 to 256 bytes."},
    {"logprobs", kChat, kBool, Effect::kHonoured, "Log probabilities of the answer's tokens."},
    {"logprobs", kCompletions, kInteger, Effect::kHonoured,
     "Log probabilities of so many tokens beside the chosen one.", 0, serving::kTopLogprobsMax},
    {"top_logprobs", kChat, kInteger, Effect::kHonoured,
     "So many alternatives a token; needs logprobs.", 0, serving::kTopLogprobsMax},
    {"ignore_eos", kGenerate, kBool, Effect::kHonoured, "Go on after the model would end."},
    {"include_stop_str_in_output", kGenerate, kBool, Effect::kHonoured,
     "Keep the stop string that ended the answer."},
    {"skip_special_tokens", kGenerate, kBool, Effect::kHonoured,
     "false: control tokens show in the text."},
    {"add_special_tokens", kCompletions | kTokenize, kBool, Effect::kHonoured,
     "BOS in front when the model wants one (default true)."},
    {"add_generation_prompt", kChat | kTokenize, kBool, Effect::kHonoured,
     "Open the assistant's turn (default true)."},
    {"continue_final_message", kChat | kTokenize, kBool, Effect::kHonoured,
     "The answer continues the last message, an assistant's."},
    {"chat_template_kwargs", kChat | kTokenize, kObject, Effect::kHonoured,
     "Template variables: enable_thinking, thinking, reasoning_effort."},
    {"response_format", kChat, kObject, Effect::kHonoured, "Only {\"type\": \"text\"}."},
    {"tool_choice", kChat, kAny, Effect::kHonoured, "Only none and auto."},
    {"function_call", kChat, kAny, Effect::kHonoured, "Only none and auto."},
    {"content", kTokenize, kString, Effect::kHonoured, "As prompt, in llama.cpp's shape."},
    {"add_special", kTokenize, kBool, Effect::kHonoured,
     "With content: BOS in front when the model wants one."},
    {"parse_special", kTokenize, kBool, Effect::kHonoured,
     "Control tokens written in the text become their ids (default false)."},
    {"with_pieces", kTokenize, kBool, Effect::kHonoured, "With content: each token with its text."},
    {"return_token_strs", kTokenize, kBool, Effect::kHonoured,
     "With prompt: the tokens' names too."},
    {"tokens", kDetokenize, kArray, Effect::kHonoured, "Token ids."},

    {"parallel_tool_calls", kChat, kBool, Effect::kIgnored},
    {"user", kGenerate, kString, Effect::kIgnored},
    {"safety_identifier", kGenerate, kString, Effect::kIgnored},
    {"prompt_cache_key", kGenerate, kString, Effect::kIgnored},
    {"prompt_cache_retention", kGenerate, kString, Effect::kIgnored},
    {"metadata", kGenerate, kObject, Effect::kIgnored},
    {"prediction", kChat, kObject, Effect::kIgnored},
    {"verbosity", kChat, kString, Effect::kIgnored},
    {"reasoning_effort", kChat, kString, Effect::kIgnored},
    {"service_tier", kGenerate, kString, Effect::kIgnored, "", 0, 0, "\"auto\""},
    {"request_id", kGenerate, kString, Effect::kIgnored},
    {"cache_prompt", kGenerate, kBool, Effect::kIgnored},
    {"spaces_between_special_tokens", kGenerate, kBool, Effect::kIgnored, "", 0, 0, "true"},

    // A model that is not told of its tools answers as if there were none: better no answer.
    {"tools", kChat | kTokenize, kArray, Effect::kRefused},
    {"functions", kChat, kArray, Effect::kRefused},
    {"echo", kCompletions, kBool, Effect::kRefused},
    {"suffix", kCompletions, kString, Effect::kRefused},
    {"best_of", kCompletions, kInteger, Effect::kRefused, "", 0, 0, "1"},
    {"store", kChat, kBool, Effect::kRefused},
    {"audio", kChat, kObject, Effect::kRefused},
    {"modalities", kChat, kArray, Effect::kRefused, "", 0, 0, "[\"text\"]"},
    {"web_search_options", kChat, kObject, Effect::kRefused},
    {"response_format", kCompletions, kObject, Effect::kRefused, "", 0, 0, "{\"type\":\"text\"}"},
    {"stop_token_ids", kGenerate, kArray, Effect::kRefused},
    {"min_tokens", kGenerate, kInteger, Effect::kRefused},
    {"bad_words", kGenerate, kArray, Effect::kRefused},
    {"allowed_token_ids", kGenerate, kArray, Effect::kRefused},
    {"use_beam_search", kGenerate, kBool, Effect::kRefused},
    {"length_penalty", kGenerate, kNumber, Effect::kRefused, "", 0, 0, "1"},
    {"prompt_logprobs", kGenerate, kInteger, Effect::kRefused},
    {"prompt_embeds", kCompletions, kAny, Effect::kRefused},
    {"truncate_prompt_tokens", kGenerate, kInteger, Effect::kRefused},
    {"return_token_ids", kGenerate, kBool, Effect::kRefused},
    {"return_tokens_as_token_ids", kGenerate, kBool, Effect::kRefused},
    {"logits_processors", kGenerate, kAny, Effect::kRefused},
    {"guided_json", kGenerate, kAny, Effect::kRefused},
    {"guided_regex", kGenerate, kAny, Effect::kRefused},
    {"guided_choice", kGenerate, kAny, Effect::kRefused},
    {"guided_grammar", kGenerate, kAny, Effect::kRefused},
    {"structured_outputs", kGenerate, kAny, Effect::kRefused},
    {"grammar", kGenerate, kAny, Effect::kRefused},
    {"json_schema", kGenerate, kAny, Effect::kRefused},
    {"chat_template", kChat | kTokenize, kString, Effect::kRefused},
    {"documents", kChat, kArray, Effect::kRefused},
    {"mirostat", kGenerate, kInteger, Effect::kRefused},
    {"dry_multiplier", kGenerate, kNumber, Effect::kRefused},
    {"xtc_probability", kGenerate, kNumber, Effect::kRefused},
    {"dynatemp_range", kGenerate, kNumber, Effect::kRefused},
    {"top_n_sigma", kGenerate, kNumber, Effect::kRefused, "", 0, 0, "-1"},
    {"repeat_penalty", kGenerate, kNumber, Effect::kRefused, "", 0, 0, "1"},
    {"n_predict", kGenerate, kInteger, Effect::kRefused, "", 0, 0, "-1"},
};

bool AsksForNothing(const Json& value, std::string_view neutral) {
  if (value.is_null()) return true;
  if (const auto b = value.AsBool()) return !*b || neutral == "true";
  if (const auto number = value.AsDouble(); number && *number == 0) return true;
  if (const std::string* text = value.AsString(); text && text->empty()) return true;
  if (const auto* array = value.AsArray(); array && array->empty()) return true;
  if (const auto* object = value.AsObject(); object && object->empty()) return true;
  if (neutral.empty()) return false;
  const Result<Json> other = codec::ParseJson(neutral);
  if (!other.ok()) return false;
  if (value.is_number() && other->is_number()) return value.AsDouble() == other->AsDouble();
  return value == *other;
}

Status CheckNumber(const FieldRow& row, const Json& value) {
  const bool whole = row.kind == kInteger;
  if (!value.is_number()) {
    return BadField(row.name, fmt::format("must be {}, not {}", whole ? "an integer" : "a number",
                                          value.KindName()));
  }
  const double number = *value.AsDouble();
  const bool exact = !whole || value.AsInt().has_value();
  if (!exact && std::isfinite(number) && number != std::floor(number)) {
    return BadField(row.name, "must be an integer, not a fraction");
  }
  if (!exact || !(number >= row.min && number <= row.max)) {
    if (std::isinf(row.max)) return BadField(row.name, "must be a 64-bit integer");
    return BadField(row.name, fmt::format("must be between {} and {}", row.min, row.max));
  }
  return OkStatus();
}

Status CheckKind(const FieldRow& row, const Json& value) {
  const auto wrong = [&](std::string_view wanted) {
    return BadField(row.name, fmt::format("must be {}, not {}", wanted, value.KindName()));
  };
  switch (row.kind) {
    case kNumber:
    case kInteger: return CheckNumber(row, value);
    case kBool: return value.AsBool() ? OkStatus() : wrong("a boolean");
    case kString: return value.AsString() ? OkStatus() : wrong("a string");
    case kArray: return value.AsArray() ? OkStatus() : wrong("an array");
    case kObject: return value.AsObject() ? OkStatus() : wrong("an object");
    case kAny: return OkStatus();
  }
  return OkStatus();
}

Status CheckField(const FieldRow& row, const Json& value, bool strict,
                  std::vector<std::string>* ignored) {
  if (value.is_null()) return OkStatus();
  if (row.effect == Effect::kHonoured) return CheckKind(row, value);
  if (AsksForNothing(value, row.neutral)) return OkStatus();
  if (row.effect == Effect::kRefused) {
    return BadField(row.name, "is not supported by this server; leave it out");
  }
  if (strict) return BadField(row.name, "has no effect on this server, and it is strict");
  ignored->emplace_back(row.name);
  return OkStatus();
}

}  // namespace

std::span<const FieldRow> FieldTable() { return kRows; }

const FieldRow* FindField(Endpoint endpoint, std::string_view name) {
  for (const FieldRow& row : kRows) {
    if ((row.endpoints & endpoint) != 0 && row.name == name) return &row;
  }
  return nullptr;
}

Status CheckFields(const Json& body, Endpoint endpoint, bool strict,
                   std::vector<std::string>* ignored) {
  const Json::Object* members = body.AsObject();
  if (members == nullptr) {
    return InvalidArgument(fmt::format("the body must be a JSON object, not {}", body.KindName()));
  }
  for (const auto& [name, value] : *members) {
    if (const FieldRow* row = FindField(endpoint, name)) {
      RETURN_IF_ERROR(CheckField(*row, value, strict, ignored));
      continue;
    }
    if (strict) return BadField(name.substr(0, kIgnoredNameBytesMax), "is unknown");
    ignored->push_back(name);
  }
  return OkStatus();
}

const Json* Given(const Json& body, std::string_view name) {
  const Json* value = body.Find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool GivenBool(const Json& body, std::string_view name, bool fallback) {
  const Json* value = Given(body, name);
  return value == nullptr ? fallback : value->AsBool().value_or(fallback);
}

std::string IgnoredHeader(std::span<const std::string> names) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i == kIgnoredNamesMax) return out + fmt::format(", and {} more", names.size() - i);
    if (i > 0) out += ", ";
    for (const char c : names[i].substr(0, kIgnoredNameBytesMax)) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                         std::string_view("_-.[]").find(c) != std::string_view::npos;
      out.push_back(plain ? c : '?');
    }
  }
  return out;
}

Status BadField(std::string_view param, std::string message) {
  return InvalidArgument(fmt::format("'{}' {}", param, message)).WithParam(std::string(param));
}

}  // namespace pelton::api::openai
