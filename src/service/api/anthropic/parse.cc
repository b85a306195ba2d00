#include "api/anthropic/parse.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "codec/json_write.h"

namespace pelton::api::anthropic {
namespace {

using backend::Message;
using codec::Json;

constexpr size_t kIdBytesMax = 256;
constexpr size_t kToolUsesMax = 128;

const std::string* TextOf(const Json& object, std::string_view name) {
  const Json* value = Given(object, name);
  return value == nullptr ? nullptr : value->AsString();
}

void AppendLine(std::string_view text, std::string* to) {
  if (!to->empty()) to->push_back('\n');
  *to += text;
}

// A text, or blocks of text, each on a line of its own.
Status ReadText(const Json& value, const std::string& at, std::string* out) {
  if (const std::string* text = value.AsString()) {
    *out = *text;
    return OkStatus();
  }
  const Json::Array* blocks = value.AsArray();
  if (blocks == nullptr) return BadField(at, fmt::format("must be a string or an array of blocks, not {}", value.KindName()));
  if (blocks->size() > static_cast<size_t>(serving::kPartsMax)) {
    return BadField(at, fmt::format("has {} blocks; at most {} are allowed", blocks->size(), serving::kPartsMax));
  }
  for (size_t i = 0; i < blocks->size(); ++i) {
    const std::string* type = TextOf((*blocks)[i], "type");
    const std::string* text = TextOf((*blocks)[i], "text");
    if (type == nullptr || *type != "text" || text == nullptr) {
      return BadField(fmt::format("{}.{}", at, i), "must be a block of type text with a text");
    }
    AppendLine(*text, out);
  }
  return OkStatus();
}

// tool_use → a call as chat templates expect it.
Status ReadToolUse(const Json& block, const std::string& at, Json::Array* calls) {
  const std::string* id = TextOf(block, "id");
  const std::string* name = TextOf(block, "name");
  const Json* input = Given(block, "input");
  if (id == nullptr || name == nullptr || input == nullptr || input->AsObject() == nullptr ||
      id->size() > kIdBytesMax || name->size() > kIdBytesMax) {
    return BadField(at, "must have an id, a name (each at most 256 bytes) and an input, which is an object");
  }
  if (calls->size() == kToolUsesMax) return BadField(at, fmt::format("is one of more than {} calls", kToolUsesMax));
  Json function = Json::EmptyObject();
  function.Set("name", *name).Set("arguments", codec::WriteJson(*input));
  Json call = Json::EmptyObject();
  call.Set("id", *id).Set("type", "function").Set("function", std::move(function));
  calls->push_back(std::move(call));
  return OkStatus();
}

Status ReadToolResult(const Json& block, const std::string& at, std::vector<Message>* out) {
  const std::string* id = TextOf(block, "tool_use_id");
  if (id == nullptr || id->empty() || id->size() > kIdBytesMax) {
    return BadField(at + ".tool_use_id", "must be a string of 1 to 256 bytes");
  }
  Message message;
  message.role = "tool";
  message.tool_call_id = *id;
  if (const Json* content = Given(block, "content")) {
    RETURN_IF_ERROR(ReadText(*content, at + ".content", &message.content));
  }
  out->push_back(std::move(message));
  return OkStatus();
}

// Blocks of one message: results of tools become messages of their own, before its text.
Status ReadBlocks(const Json::Array& blocks, const std::string& at, bool user, Message* message,
                  std::vector<Message>* out, std::vector<std::string>* ignored) {
  if (blocks.size() > static_cast<size_t>(serving::kPartsMax)) {
    return BadField(at, fmt::format("has {} blocks; at most {} are allowed", blocks.size(), serving::kPartsMax));
  }
  Json::Array calls;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string block_at = fmt::format("{}.{}", at, i);
    const std::string* type = TextOf(blocks[i], "type");
    if (type == nullptr) return BadField(block_at + ".type", "must be a string");
    if (*type == "text") {
      const std::string* text = TextOf(blocks[i], "text");
      if (text == nullptr) return BadField(block_at + ".text", "must be a string");
      AppendLine(*text, &message->content);
    } else if (*type == "tool_use" && !user) {
      RETURN_IF_ERROR(ReadToolUse(blocks[i], block_at, &calls));
    } else if (*type == "tool_result" && user) {
      RETURN_IF_ERROR(ReadToolResult(blocks[i], block_at, out));
    } else if ((*type == "thinking" || *type == "redacted_thinking") && !user) {
      ignored->push_back("messages[].content[]." + *type);
    } else {
      return BadField(block_at + ".type", fmt::format("'{}' is not supported in a message of the {}: text, {} are",
                                                      type->substr(0, 40), user ? "user" : "assistant",
                                                      user ? "tool_result" : "tool_use"));
    }
  }
  if (!calls.empty()) message->tool_calls_json = codec::WriteJson(Json(std::move(calls)));
  return OkStatus();
}

Status ReadMessage(const Json& json, const std::string& at, std::vector<Message>* out,
                   std::vector<std::string>* ignored) {
  const std::string* role = json.AsObject() == nullptr ? nullptr : TextOf(json, "role");
  if (role == nullptr || (*role != "user" && *role != "assistant")) {
    return BadField(at + ".role", "must be user or assistant; a system prompt is the field 'system'");
  }
  const Json* content = Given(json, "content");
  if (content == nullptr) return BadField(at + ".content", "is required");
  Message message;
  message.role = *role;
  const size_t before = out->size();
  if (const Json::Array* blocks = content->AsArray()) {
    RETURN_IF_ERROR(ReadBlocks(*blocks, at + ".content", *role == "user", &message, out, ignored));
  } else {
    RETURN_IF_ERROR(ReadText(*content, at + ".content", &message.content));
  }
  if (message.content.empty() && message.tool_calls_json.empty()) {
    if (out->size() > before) return OkStatus();  // results of tools alone
    return BadField(at + ".content", "must not be empty");
  }
  // Turns of one role in a row are one turn.
  const bool joins = !out->empty() && out->back().role == message.role && out->size() == before &&
                     out->back().tool_calls_json.empty() && message.tool_calls_json.empty();
  if (joins) {
    AppendLine(message.content, &out->back().content);
  } else {
    out->push_back(std::move(message));
  }
  return OkStatus();
}

Result<backend::ChatPrompt> ReadPrompt(const Json& body, std::vector<std::string>* ignored) {
  backend::ChatPrompt prompt;
  if (const Json* system = Given(body, "system")) {
    Message message;
    message.role = "system";
    RETURN_IF_ERROR(ReadText(*system, "system", &message.content));
    if (!message.content.empty()) prompt.messages.push_back(std::move(message));
  }
  const Json* messages = Given(body, "messages");
  if (messages == nullptr) return BadField("messages", "is required");
  const Json::Array& array = *messages->AsArray();
  if (array.empty()) return BadField("messages", "must have at least one message");
  if (array.size() > static_cast<size_t>(serving::kMessagesMax)) {
    return BadField("messages", fmt::format("has {} messages; at most {} are allowed", array.size(),
                                            serving::kMessagesMax));
  }
  for (size_t i = 0; i < array.size(); ++i) {
    RETURN_IF_ERROR(ReadMessage(array[i], fmt::format("messages.{}", i), &prompt.messages, ignored));
  }
  const Message& last = prompt.messages.back();
  prompt.continue_final_message = last.role == "assistant" && last.tool_calls_json.empty();
  prompt.add_generation_prompt = !prompt.continue_final_message;
  return prompt;
}

// {"name":…,"description":…,"input_schema":…} → a function as chat templates expect it.
Result<Json> FunctionOf(const Json& tool, const std::string& at, turn::ToolWish* out) {
  const std::string* type = tool.AsObject() == nullptr ? nullptr : TextOf(tool, "type");
  if (tool.AsObject() == nullptr || (type != nullptr && *type != "custom")) {
    return BadField(at + ".type", "can only be custom: this server runs no tools itself");
  }
  const std::string* name = TextOf(tool, "name");
  RETURN_IF_ERROR(turn::AddToolName(name, at + ".name", out));
  const Json* description = Given(tool, "description");
  if (description != nullptr && description->AsString() == nullptr) {
    return BadField(at + ".description", "must be a string");
  }
  const Json* schema = Given(tool, "input_schema");
  if (schema == nullptr || schema->AsObject() == nullptr) {
    return BadField(at + ".input_schema", "must be an object: a JSON schema");
  }
  Json function = Json::EmptyObject();
  function.Set("name", *name);
  if (description != nullptr) function.Set("description", *description);
  function.Set("parameters", *schema);
  Json wrapped = Json::EmptyObject();
  wrapped.Set("type", "function").Set("function", std::move(function));
  return wrapped;
}

Status ReadToolChoice(const Json& choice, turn::ToolWish* out) {
  const std::string* type = TextOf(choice, "type");
  const std::string* name = TextOf(choice, "name");
  out->one_call = GivenBool(choice, "disable_parallel_tool_use", false);
  if (type != nullptr && *type == "auto") return OkStatus();
  if (type != nullptr && *type == "none") {
    *out = {};  // the model is not told of them, so that it calls none
    return OkStatus();
  }
  const bool named = type != nullptr && *type == "tool";
  if (!named && (type == nullptr || *type != "any")) {
    return BadField("tool_choice.type", "must be auto, none, any or tool");
  }
  if (out->names.empty()) return BadField("tool_choice", "wants a call, but there are no 'tools'");
  if (named && (name == nullptr || std::find(out->names.begin(), out->names.end(), *name) == out->names.end())) {
    return BadField("tool_choice.name", "must be the name of one of 'tools'");
  }
  out->forced = named ? *name : "";
  if (named) out->names = {*name};
  return OkStatus();
}

Status ReadToolWish(const Json& body, turn::ToolWish* out) {
  if (const Json* tools = Given(body, "tools")) {
    const Json::Array& array = *tools->AsArray();
    RETURN_IF_ERROR(turn::CheckToolCount(array.size()));
    Json functions = Json::EmptyArray();
    for (size_t i = 0; i < array.size(); ++i) {
      auto function = FunctionOf(array[i], fmt::format("tools.{}", i), out);
      if (!function.ok()) return function.status();
      functions.Push(*std::move(function));
    }
    RETURN_IF_ERROR(turn::KeepTools(functions, out));
  }
  const Json* choice = Given(body, "tool_choice");
  return choice == nullptr ? OkStatus() : ReadToolChoice(*choice, out);
}

// Whether the model is to think aloud, for templates that leave the choice.
Status ReadThinking(const Json& body, backend::ChatPrompt* prompt, std::vector<std::string>* ignored) {
  bool enabled = false;
  if (const Json* thinking = Given(body, "thinking")) {
    const std::string* type = TextOf(*thinking, "type");
    if (type == nullptr || (*type != "enabled" && *type != "disabled")) {
      return BadField("thinking.type", "must be enabled or disabled");
    }
    enabled = *type == "enabled";
    if (Given(*thinking, "budget_tokens") != nullptr) ignored->push_back("thinking.budget_tokens");
  }
  prompt->kwargs_json = enabled ? "{\"enable_thinking\":true}" : "{\"enable_thinking\":false}";
  return OkStatus();
}

Status ReadStops(const Json& body, std::vector<std::string>* stops) {
  const Json* value = Given(body, "stop_sequences");
  if (value == nullptr) return OkStatus();
  const Json::Array& array = *value->AsArray();
  if (array.size() > static_cast<size_t>(serving::kStopsMax)) {
    return BadField("stop_sequences", fmt::format("has {} texts; at most {} are allowed", array.size(),
                                                  serving::kStopsMax));
  }
  for (const Json& item : array) {
    const std::string* text = item.AsString();
    if (text == nullptr || text->empty() || text->size() > serving::kStopBytesMax) {
      return BadField("stop_sequences", fmt::format("must be strings of 1 to {} bytes", serving::kStopBytesMax));
    }
    stops->push_back(*text);
  }
  return OkStatus();
}

Result<Json> ReadBody(std::string_view text, Endpoint endpoint, bool strict, std::vector<std::string>* ignored) {
  Result<Json> body = codec::ParseJson(text);
  if (!body.ok()) return body.status().Prefixed("the body is not valid JSON");
  RETURN_IF_ERROR(CheckFields(*body, FieldTable(), endpoint, strict, ignored));
  if (Given(*body, "model") == nullptr) return BadField("model", "is required");
  return body;
}

Status RefuseIfStrict(bool strict, const std::vector<std::string>& ignored) {
  if (!strict || ignored.empty()) return OkStatus();
  return BadField(ignored.front(), "has no effect on this server, and it is strict");
}

}  // namespace

Result<ParsedRequest> ParseMessages(std::string_view text, bool strict) {
  ParsedRequest out;
  const Result<Json> body = ReadBody(text, kMessages, strict, &out.form.ignored);
  if (!body.ok()) return body.status();
  serving::GenerateRequest& request = out.request;
  request.model = *TextOf(*body, "model");
  const Json* max_tokens = Given(*body, "max_tokens");
  if (max_tokens == nullptr) return BadField("max_tokens", "is required");
  request.max_tokens = static_cast<int>(*max_tokens->AsInt());
  if (const Json* v = Given(*body, "temperature")) request.sampling.temperature = static_cast<float>(*v->AsDouble());
  if (const Json* v = Given(*body, "top_p")) request.sampling.top_p = static_cast<float>(*v->AsDouble());
  if (const Json* v = Given(*body, "top_k")) request.sampling.top_k = static_cast<int>(*v->AsInt());
  RETURN_IF_ERROR(ReadStops(*body, &request.stop));
  out.form.stream = GivenBool(*body, "stream", false);
  RETURN_IF_ERROR(ReadToolWish(*body, &out.form.tools));
  auto prompt = ReadPrompt(*body, &out.form.ignored);
  if (!prompt.ok()) return prompt.status();
  RETURN_IF_ERROR(ReadThinking(*body, &*prompt, &out.form.ignored));
  if (out.form.tools.forced && prompt->continue_final_message) {
    return BadField("tool_choice", "wants a call, which cannot continue a message of the assistant");
  }
  request.prompts.push_back(*std::move(prompt));
  RETURN_IF_ERROR(RefuseIfStrict(strict, out.form.ignored));
  return out;
}

Result<ParsedCount> ParseCount(std::string_view text, bool strict) {
  ParsedCount out;
  const Result<Json> body = ReadBody(text, kCountTokens, strict, &out.ignored);
  if (!body.ok()) return body.status();
  out.model = *TextOf(*body, "model");
  auto prompt = ReadPrompt(*body, &out.ignored);
  if (!prompt.ok()) return prompt.status();
  turn::ToolWish tools;
  RETURN_IF_ERROR(ReadToolWish(*body, &tools));
  RETURN_IF_ERROR(ReadThinking(*body, &*prompt, &out.ignored));
  prompt->tools_json = std::move(tools.json);
  out.prompt = *std::move(prompt);
  RETURN_IF_ERROR(RefuseIfStrict(strict, out.ignored));
  return out;
}

}  // namespace pelton::api::anthropic
