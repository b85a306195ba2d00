#include "api/ollama/parse.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "codec/json_write.h"

namespace pelton::api::ollama {
namespace {

using backend::Message;
using codec::Json;

constexpr size_t kNameBytesMax = 256;
constexpr size_t kToolCallsMax = 128;
constexpr size_t kDurationBytesMax = 64;

const std::string* TextOf(const Json& object, std::string_view name) {
  const Json* value = Given(object, name);
  return value == nullptr ? nullptr : value->AsString();
}

std::optional<float> FloatOf(const Json& body, std::string_view name) {
  const Json* value = Given(body, name);
  if (value == nullptr) return std::nullopt;
  return static_cast<float>(*value->AsDouble());
}

std::optional<int64_t> IntOf(const Json& body, std::string_view name) {
  const Json* value = Given(body, name);
  return value == nullptr ? std::nullopt : value->AsInt();
}

// Go's durations: "0", "5m", "-1s", "1h30m", "1.5h". True when it is no time at all.
std::optional<bool> IsNoTime(std::string_view text) {
  static constexpr std::array<std::string_view, 8> kUnits = {"ns", "us", "µs", "μs", "ms", "s", "m", "h"};
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return true;
  if (text.empty() || text.size() > kDurationBytesMax) return std::nullopt;
  bool none = true;
  while (!text.empty()) {
    const std::string_view number = text.substr(0, text.find_first_not_of("0123456789."));
    if (number.find_first_of("0123456789") == number.npos || number.find('.') != number.rfind('.')) return std::nullopt;
    none = none && number.find_first_of("123456789") == number.npos;
    text.remove_prefix(number.size());
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(), [&](std::string_view u) { return text.starts_with(u); });
    if (unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(unit->size());
  }
  return none;
}

// A number of seconds or a duration. `prompted`: then it has no effect here.
Status ReadKeepAlive(const Json& body, bool prompted, AnswerForm* form) {
  const Json* value = Given(body, "keep_alive");
  if (value == nullptr) return OkStatus();
  bool none = false;
  if (const auto seconds = value->AsDouble()) {
    none = *seconds == 0;
  } else if (const std::string* text = value->AsString()) {
    const auto parsed = IsNoTime(*text);
    if (!parsed) return BadField("keep_alive", "must be seconds or a duration such as \"5m\"");
    none = *parsed;
  } else {
    return BadField("keep_alive", fmt::format("must be a number or a string, not {}", value->KindName()));
  }
  form->unload = none && !prompted;
  if (!form->unload) form->ignored.emplace_back("keep_alive");
  return OkStatus();
}

Status ReadStop(const Json& options, std::vector<std::string>* stops) {
  const Json* value = Given(options, "stop");
  if (value == nullptr) return OkStatus();
  const auto add = [stops](const Json& item) {
    const std::string* text = item.AsString();
    if (text == nullptr || text->empty() || text->size() > serving::kStopBytesMax) {
      return BadField("stop", fmt::format("must be strings of 1 to {} bytes", serving::kStopBytesMax));
    }
    stops->push_back(*text);
    return OkStatus();
  };
  const Json::Array* array = value->AsArray();
  if (array == nullptr) return add(*value);
  if (array->size() > static_cast<size_t>(serving::kStopsMax)) {
    return BadField("stop", fmt::format("has {} texts; at most {} are allowed", array->size(), serving::kStopsMax));
  }
  for (const Json& item : *array) RETURN_IF_ERROR(add(item));
  return OkStatus();
}

void ReadPenalties(const Json& options, serving::SamplingWish* wish, std::vector<std::string>* ignored) {
  wish->frequency_penalty = FloatOf(options, "frequency_penalty");
  wish->presence_penalty = FloatOf(options, "presence_penalty");
  wish->repetition_penalty = FloatOf(options, "repeat_penalty");
  if (wish->repetition_penalty == 0.f) wish->repetition_penalty = 1.f;
  const auto last = IntOf(options, "repeat_last_n");
  if (last == 0) {
    wish->repetition_penalty = 1.f;
  } else if (last && *last > 0) {
    ignored->emplace_back("repeat_last_n");
  }
}

// Logits are divided by it: tiny ones overflow.
Status CheckPenalty(const serving::SamplingWish& wish) {
  if (!wish.repetition_penalty || *wish.repetition_penalty >= 0.01f) return OkStatus();
  return BadField("repeat_penalty", "must be 0 or between 0.01 and 10");
}

Status ReadOptions(const Json& options, bool strict, serving::GenerateRequest* request,
                   std::vector<std::string>* ignored) {
  RETURN_IF_ERROR(CheckFields(options, FieldTable(), kOptions, strict, ignored));
  serving::SamplingWish& wish = request->sampling;
  wish.temperature = FloatOf(options, "temperature");
  wish.top_p = FloatOf(options, "top_p");
  wish.min_p = FloatOf(options, "min_p");
  wish.typical_p = FloatOf(options, "typical_p");
  if (wish.typical_p && *wish.typical_p < 0.001f) wish.typical_p = 1.f;
  if (const auto top_k = IntOf(options, "top_k")) wish.top_k = static_cast<int>(*top_k);
  const auto seed = IntOf(options, "seed");
  if (seed && *seed != -1) wish.seed = *seed;
  const auto tokens = IntOf(options, "num_predict");
  if (tokens && *tokens > 0) request->max_tokens = static_cast<int>(*tokens);
  ReadPenalties(options, &wish, ignored);
  RETURN_IF_ERROR(CheckPenalty(wish));
  return ReadStop(options, &request->stop);
}

// → calls as chat templates expect them.
Status ReadToolCalls(const Json& value, const std::string& at, std::string* out) {
  const Json::Array* array = value.AsArray();
  if (array == nullptr) return BadField(at, fmt::format("must be an array, not {}", value.KindName()));
  if (array->size() > kToolCallsMax) return BadField(at, fmt::format("has more than {} calls", kToolCallsMax));
  Json::Array calls;
  for (size_t i = 0; i < array->size(); ++i) {
    const Json* function = Given((*array)[i], "function");
    const std::string* name = function == nullptr ? nullptr : TextOf(*function, "name");
    const Json* arguments = function == nullptr ? nullptr : Given(*function, "arguments");
    if (name == nullptr || name->empty() || name->size() > kNameBytesMax ||
        (arguments != nullptr && arguments->AsObject() == nullptr)) {
      return BadField(fmt::format("{}.{}.function", at, i),
                      "must have a name (at most 256 bytes) and arguments, which are an object");
    }
    const std::string* id = TextOf((*array)[i], "id");
    if (id != nullptr && id->size() > kNameBytesMax) return BadField(fmt::format("{}.{}.id", at, i), "is too long");
    Json call_function = Json::EmptyObject();
    call_function.Set("name", *name);
    call_function.Set("arguments", arguments == nullptr ? std::string("{}") : codec::WriteJson(*arguments));
    Json call = Json::EmptyObject();
    call.Set("id", id == nullptr ? fmt::format("call_{}", i) : *id).Set("type", "function");
    call.Set("function", std::move(call_function));
    calls.push_back(std::move(call));
  }
  if (!calls.empty()) *out = codec::WriteJson(Json(std::move(calls)));
  return OkStatus();
}

void NoteOnce(std::string name, std::vector<std::string>* ignored) {
  if (std::find(ignored->begin(), ignored->end(), name) == ignored->end()) ignored->push_back(std::move(name));
}

// A member of a message beside its role.
Status ReadMember(const std::string& name, const Json& value, const std::string& at, Message* message,
                  std::vector<std::string>* ignored) {
  const std::string* text = value.AsString();
  if (name == "content") {
    if (text == nullptr) return BadField(at, fmt::format("must be a string, not {}", value.KindName()));
    message->content = *text;
  } else if (name == "tool_calls") {
    if (message->role != "assistant") return BadField(at, "can only be the assistant's");
    return ReadToolCalls(value, at, &message->tool_calls_json);
  } else if (name == "tool_name" || name == "tool_call_id") {
    if (text == nullptr || text->size() > kNameBytesMax) return BadField(at, "must be a string of at most 256 bytes");
    (name == "tool_name" ? message->name : message->tool_call_id) = *text;
  } else if (name == "images") {
    const Json::Array* images = value.AsArray();
    if (images == nullptr || !images->empty()) return BadField(at, "cannot be taken: the models here read text only");
  } else if (name != "role" && (text == nullptr || !text->empty())) {
    NoteOnce("messages[]." + name.substr(0, kNameBytesMax), ignored);
  }
  return OkStatus();
}

Status ReadMessage(const Json& json, const std::string& at, Message* message, std::vector<std::string>* ignored) {
  static constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};
  const std::string* role = json.AsObject() == nullptr ? nullptr : TextOf(json, "role");
  if (role == nullptr || std::find(kRoles.begin(), kRoles.end(), *role) == kRoles.end()) {
    return BadField(at + ".role", "must be system, user, assistant or tool");
  }
  message->role = *role;
  for (const auto& [name, value] : *json.AsObject()) {
    if (value.is_null()) continue;
    RETURN_IF_ERROR(ReadMember(name, value, fmt::format("{}.{}", at, name.substr(0, kNameBytesMax)), message, ignored));
  }
  return OkStatus();
}

Result<backend::ChatPrompt> ReadMessages(const Json::Array& array, std::vector<std::string>* ignored) {
  if (array.size() > static_cast<size_t>(serving::kMessagesMax)) {
    return BadField("messages", fmt::format("has {} messages; at most {} are allowed", array.size(),
                                            serving::kMessagesMax));
  }
  backend::ChatPrompt prompt;
  prompt.messages.resize(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    RETURN_IF_ERROR(ReadMessage(array[i], fmt::format("messages.{}", i), &prompt.messages[i], ignored));
  }
  const Message& last = prompt.messages.back();
  prompt.continue_final_message = last.role == "assistant" && last.tool_calls_json.empty() && !last.content.empty();
  prompt.add_generation_prompt = !prompt.continue_final_message;
  return prompt;
}

Result<Json> ReadBody(std::string_view text, Endpoint endpoint, bool strict, std::vector<std::string>* ignored) {
  Result<Json> body = codec::ParseJson(text);
  if (!body.ok()) return body.status().Prefixed("the body is not valid JSON");
  RETURN_IF_ERROR(CheckFields(*body, FieldTable(), endpoint, strict, ignored));
  return body;
}

// What both endpoints have besides their prompts.
Status ReadCommon(const Json& body, bool prompted, bool strict, ParsedRequest* out) {
  const std::string* model = TextOf(body, "model");
  if (model == nullptr || model->empty()) return BadField("model", "is required");
  out->request.model = out->form.model = *model;
  out->form.stream = prompted && GivenBool(body, "stream", true);
  if (const Json* options = Given(body, "options")) {
    std::vector<std::string> ignored;
    const Status status = ReadOptions(*options, strict, &out->request, &ignored);
    if (!status.ok()) return status.Prefixed("options");
    for (const std::string& name : ignored) out->form.ignored.push_back("options." + name);
  }
  RETURN_IF_ERROR(ReadKeepAlive(body, prompted, &out->form));
  out->form.logprobs = GivenBool(body, "logprobs", false);
  const auto top = IntOf(body, "top_logprobs").value_or(0);
  if (top > 0 && !out->form.logprobs) return BadField("top_logprobs", "needs 'logprobs': true");
  if (out->form.logprobs) out->request.sampling.top_logprobs = static_cast<int>(top);
  return OkStatus();
}

// Whether the model is to think aloud, for templates that leave the choice.
Status ReadThink(const Json& body, backend::ChatPrompt* prompt) {
  const Json* think = Given(body, "think");
  if (think == nullptr) return OkStatus();
  const std::string* effort = think->AsString();
  const bool known = effort != nullptr && (*effort == "low" || *effort == "medium" || *effort == "high");
  if (!think->AsBool() && !known) return BadField("think", "must be true, false, low, medium or high");
  Json variables = Json::EmptyObject();
  variables.Set("enable_thinking", known || *think->AsBool());
  if (known) variables.Set("reasoning_effort", *effort);
  prompt->kwargs_json = codec::WriteJson(variables);
  return OkStatus();
}

Status RefuseIfStrict(bool strict, const std::vector<std::string>& ignored) {
  if (!strict || ignored.empty()) return OkStatus();
  return BadField(ignored.front(), "has no effect on this server, and it is strict");
}

}  // namespace

Result<ParsedRequest> ParseChat(std::string_view text, bool strict) {
  ParsedRequest out;
  const Result<Json> body = ReadBody(text, kChat, strict, &out.form.ignored);
  if (!body.ok()) return body.status();
  const Json* messages = Given(*body, "messages");
  const bool prompted = messages != nullptr && !messages->AsArray()->empty();
  RETURN_IF_ERROR(ReadCommon(*body, prompted, strict, &out));
  if (prompted) {
    auto prompt = ReadMessages(*messages->AsArray(), &out.form.ignored);
    if (!prompt.ok()) return prompt.status();
    RETURN_IF_ERROR(ReadThink(*body, &*prompt));
    if (const Json* tools = Given(*body, "tools")) {
      RETURN_IF_ERROR(turn::ReadTools(*tools, &out.form.tools, &out.form.ignored));
    }
    out.request.prompts.push_back(*std::move(prompt));
  }
  RETURN_IF_ERROR(RefuseIfStrict(strict, out.form.ignored));
  return out;
}

Result<ParsedRequest> ParseGenerate(std::string_view text, bool strict) {
  ParsedRequest out;
  const Result<Json> body = ReadBody(text, kGenerate, strict, &out.form.ignored);
  if (!body.ok()) return body.status();
  const std::string* prompt = TextOf(*body, "prompt");
  const bool prompted = prompt != nullptr && !prompt->empty();
  RETURN_IF_ERROR(ReadCommon(*body, prompted, strict, &out));
  const std::string* system = TextOf(*body, "system");
  const bool instructed = system != nullptr && !system->empty();
  const bool raw = GivenBool(*body, "raw", false);
  if (raw && instructed) return BadField("system", "has no place in a raw prompt");
  if (prompted && raw) {
    out.request.prompts.emplace_back(serving::TextPrompt{.text = *prompt, .add_special = true, .parse_special = true});
  } else if (prompted) {
    backend::ChatPrompt chat;
    chat.messages.resize(instructed ? 2 : 1);
    if (instructed) {
      chat.messages.front().role = "system";
      chat.messages.front().content = *system;
    }
    chat.messages.back().role = "user";
    chat.messages.back().content = *prompt;
    RETURN_IF_ERROR(ReadThink(*body, &chat));
    out.request.prompts.emplace_back(std::move(chat));
  }
  RETURN_IF_ERROR(RefuseIfStrict(strict, out.form.ignored));
  return out;
}

Result<ParsedName> ParseName(std::string_view text, Endpoint endpoint, bool strict) {
  ParsedName out;
  const Result<Json> body = ReadBody(text, endpoint, strict, &out.ignored);
  if (!body.ok()) return body.status();
  const std::string* model = TextOf(*body, "model");
  if (model == nullptr || model->empty()) model = TextOf(*body, "name");
  if (model == nullptr || model->empty()) return BadField("model", "is required");
  out.model = *model;
  out.stream = GivenBool(*body, "stream", true);
  return out;
}

}  // namespace pelton::api::ollama
