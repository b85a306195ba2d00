#include <fmt/core.h>

#include <array>

#include "api/openai/parse.h"
#include "codec/json_write.h"

namespace pelton::api::openai {
namespace {

using codec::Json;

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                    "tool"};
constexpr std::array<std::string_view, 3> kTemplateVariables = {"enable_thinking", "thinking",
                                                                "reasoning_effort"};
constexpr size_t kNameBytesMax = 256;
constexpr size_t kToolCallsMax = 128;

template <size_t N>
bool IsOneOf(std::string_view text, const std::array<std::string_view, N>& words) {
  for (const std::string_view word : words) {
    if (word == text) return true;
  }
  return false;
}

// Content parts joined by line breaks, as vLLM joins them.
Status ReadParts(const Json::Array& parts, const std::string& at, std::string* out) {
  if (parts.size() > static_cast<size_t>(serving::kPartsMax)) {
    return BadField(at, fmt::format("has {} parts; at most {} are allowed", parts.size(),
                                    serving::kPartsMax));
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string part_at = fmt::format("{}[{}]", at, i);
    const Json* type = parts[i].Find("type");
    const std::string* name = type == nullptr ? nullptr : type->AsString();
    if (name == nullptr) return BadField(part_at + ".type", "must be a string");
    const bool refusal = *name == "refusal";
    if (*name != "text" && !refusal) {
      return BadField(part_at + ".type", "is not supported: only text parts are");
    }
    const Json* text = parts[i].Find(refusal ? "refusal" : "text");
    if (text == nullptr || text->AsString() == nullptr) {
      return BadField(part_at + (refusal ? ".refusal" : ".text"), "must be a string");
    }
    if (i > 0) out->push_back('\n');
    *out += *text->AsString();
  }
  return OkStatus();
}

Status ReadShortString(const Json& message, std::string_view name, const std::string& at,
                       std::string* out) {
  const Json* value = Given(message, name);
  if (value == nullptr) return OkStatus();
  const std::string field = fmt::format("{}.{}", at, name);
  if (value->AsString() == nullptr) {
    return BadField(field, fmt::format("must be a string, not {}", value->KindName()));
  }
  if (value->AsString()->size() > kNameBytesMax) {
    return BadField(field, fmt::format("must have at most {} bytes", kNameBytesMax));
  }
  *out = *value->AsString();
  return OkStatus();
}

Status ReadToolCalls(const Json& message, const std::string& at, std::string* out) {
  const Json* value = Given(message, "tool_calls");
  if (value == nullptr) return OkStatus();
  const std::string field = at + ".tool_calls";
  const Json::Array* calls = value->AsArray();
  if (calls == nullptr) return BadField(field, "must be an array");
  if (calls->size() > kToolCallsMax) {
    return BadField(field, fmt::format("has {} calls; at most {} are allowed", calls->size(),
                                       kToolCallsMax));
  }
  for (size_t i = 0; i < calls->size(); ++i) {
    const Json* function = (*calls)[i].Find("function");
    const Json* name = function == nullptr ? nullptr : function->Find("name");
    const Json* arguments = function == nullptr ? nullptr : function->Find("arguments");
    if (name == nullptr || name->AsString() == nullptr || arguments == nullptr ||
        arguments->AsString() == nullptr) {
      return BadField(fmt::format("{}[{}].function", field, i),
                      "must have a name and arguments, both strings");
    }
  }
  if (!calls->empty()) *out = codec::WriteJson(*value);
  return OkStatus();
}

void NameIgnored(const Json& message, std::vector<std::string>* ignored) {
  static constexpr std::array<std::string_view, 7> kKnown = {
      "role", "content", "name", "tool_calls", "tool_call_id", "refusal", "annotations"};
  for (const auto& [name, value] : *message.AsObject()) {
    if (!value.is_null() && !IsOneOf(name, kKnown)) ignored->push_back("messages[]." + name);
  }
}

Result<backend::Message> ReadMessage(const Json& json, const std::string& at,
                                     std::vector<std::string>* ignored) {
  if (json.AsObject() == nullptr) {
    return BadField(at, fmt::format("must be an object, not {}", json.KindName()));
  }
  backend::Message message;
  const Json* role = json.Find("role");
  if (role == nullptr || role->AsString() == nullptr || !IsOneOf(*role->AsString(), kRoles)) {
    return BadField(at + ".role", "must be system, developer, user, assistant or tool");
  }
  message.role = *role->AsString();
  RETURN_IF_ERROR(ReadShortString(json, "name", at, &message.name));
  RETURN_IF_ERROR(ReadShortString(json, "tool_call_id", at, &message.tool_call_id));
  RETURN_IF_ERROR(ReadToolCalls(json, at, &message.tool_calls_json));
  if (message.role == "tool" && message.tool_call_id.empty()) {
    return BadField(at + ".tool_call_id", "is required in a message of role tool");
  }
  if (Given(json, "audio") != nullptr) return BadField(at + ".audio", "is not supported");
  NameIgnored(json, ignored);
  const Json* content = Given(json, "content");
  if (content == nullptr) {
    const bool may_lack = message.role == "assistant" && !message.tool_calls_json.empty();
    if (!may_lack) return BadField(at + ".content", "is required");
  } else if (content->AsString() != nullptr) {
    message.content = *content->AsString();
  } else if (content->AsArray() != nullptr) {
    RETURN_IF_ERROR(ReadParts(*content->AsArray(), at + ".content", &message.content));
  } else {
    return BadField(at + ".content", fmt::format("must be a string or an array of parts, not {}",
                                                 content->KindName()));
  }
  return message;
}

// Only named variables with plain values reach a template.
Status ReadTemplateVariables(const Json& body, std::string* out) {
  const Json* value = Given(body, "chat_template_kwargs");
  if (value == nullptr) return OkStatus();
  for (const auto& [name, member] : *value->AsObject()) {
    const std::string* text = member.AsString();
    const bool plain = member.AsBool() || member.is_number() ||
                       (text != nullptr && text->size() <= kNameBytesMax);
    if (!IsOneOf(name, kTemplateVariables) || !plain) {
      return BadField("chat_template_kwargs",
                      "may have enable_thinking, thinking and reasoning_effort, each a boolean, "
                      "number or short string");
    }
  }
  *out = codec::WriteJson(*value);
  return OkStatus();
}

}  // namespace

Result<backend::ChatPrompt> ReadChatPrompt(const Json& body, std::vector<std::string>* ignored) {
  const Json* messages = Given(body, "messages");
  if (messages == nullptr) return BadField("messages", "is required");
  const Json::Array& array = *messages->AsArray();
  if (array.empty()) return BadField("messages", "must have at least one message");
  if (array.size() > static_cast<size_t>(serving::kMessagesMax)) {
    return BadField("messages", fmt::format("has {} messages; at most {} are allowed",
                                            array.size(), serving::kMessagesMax));
  }
  backend::ChatPrompt prompt;
  std::vector<std::string> names;
  for (size_t i = 0; i < array.size(); ++i) {
    auto message = ReadMessage(array[i], fmt::format("messages[{}]", i), &names);
    if (!message.ok()) return message.status();
    prompt.messages.push_back(*std::move(message));
  }
  for (std::string& name : names) {
    if (ignored->empty() || ignored->back() != name) ignored->push_back(std::move(name));
  }
  prompt.continue_final_message = GivenBool(body, "continue_final_message", false);
  prompt.add_generation_prompt =
      GivenBool(body, "add_generation_prompt", !prompt.continue_final_message);
  if (prompt.continue_final_message) {
    if (prompt.add_generation_prompt) {
      return BadField("continue_final_message", "and 'add_generation_prompt' exclude each other");
    }
    if (prompt.messages.back().role != "assistant") {
      return BadField("continue_final_message", "needs a last message of role assistant");
    }
  }
  RETURN_IF_ERROR(ReadTemplateVariables(body, &prompt.kwargs_json));
  return prompt;
}

}  // namespace pelton::api::openai
