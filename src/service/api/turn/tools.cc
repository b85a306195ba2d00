#include "api/turn/tools.h"

#include <fmt/core.h>

#include <algorithm>

#include "api/fields.h"

namespace pelton::api::turn {
namespace {

using backend::ToolSyntax;
using codec::Json;

const std::string* TextOf(const Json& object, std::string_view name) {
  const Json* value = Given(object, name);
  return value == nullptr ? nullptr : value->AsString();
}

Status ReadTool(const Json& tool, const std::string& at, ToolWish* out, std::vector<std::string>* ignored) {
  const std::string* type = tool.AsObject() == nullptr ? nullptr : TextOf(tool, "type");
  if (type == nullptr || *type != "function") {
    return BadField(at + ".type", "must be \"function\": only functions can be tools here");
  }
  const Json* function = Given(tool, "function");
  if (function == nullptr || function->AsObject() == nullptr) {
    return BadField(at + ".function", "must be an object with the function's name");
  }
  RETURN_IF_ERROR(AddToolName(TextOf(*function, "name"), at + ".function.name", out));
  const Json* description = Given(*function, "description");
  if (description != nullptr && description->AsString() == nullptr) {
    return BadField(at + ".function.description", "must be a string");
  }
  const Json* parameters = Given(*function, "parameters");
  if (parameters != nullptr && parameters->AsObject() == nullptr) {
    return BadField(at + ".function.parameters", "must be an object: a JSON schema");
  }
  if (GivenBool(*function, "strict", false)) {
    const std::string strict = "tools[].function.strict";
    if (std::find(ignored->begin(), ignored->end(), strict) == ignored->end()) ignored->push_back(strict);
  }
  return OkStatus();
}

// Letters, digits, _ and -.
bool IsToolName(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kToolNameMax && std::all_of(name.begin(), name.end(), fits);
}

}  // namespace

Status CheckToolCount(size_t count) {
  if (count <= kToolsMax) return OkStatus();
  return BadField("tools", fmt::format("has {} tools; at most {} are allowed", count, kToolsMax));
}

Status AddToolName(const std::string* name, const std::string& at, ToolWish* out) {
  if (name == nullptr || !IsToolName(*name)) {
    return BadField(at, fmt::format("must be 1 to {} letters, digits, _ or -", kToolNameMax));
  }
  if (std::find(out->names.begin(), out->names.end(), *name) != out->names.end()) {
    return BadField(at, fmt::format("\"{}\" is there twice", *name));
  }
  out->names.push_back(*name);
  return OkStatus();
}

Status KeepTools(const Json& tools, ToolWish* out) {
  if (tools.AsArray()->empty()) return OkStatus();
  out->json = codec::WriteJson(tools);
  if (out->json.size() <= kToolsBytesMax) return OkStatus();
  return BadField("tools", fmt::format("have {} bytes as JSON; at most {} are allowed", out->json.size(),
                                       kToolsBytesMax));
}

Status ReadTools(const Json& tools, ToolWish* out, std::vector<std::string>* ignored) {
  const Json::Array* array = tools.AsArray();
  if (array == nullptr) return BadField("tools", "must be an array");
  RETURN_IF_ERROR(CheckToolCount(array->size()));
  for (size_t i = 0; i < array->size(); ++i) {
    RETURN_IF_ERROR(ReadTool((*array)[i], fmt::format("tools[{}]", i), out, ignored));
  }
  return KeepTools(tools, out);
}

std::string AnswerPrefix(const ToolWish& wish, const backend::Facts& facts) {
  if (!wish.forced) return {};
  std::string prefix = facts.opens_thinking ? "\n</think>\n\n" : "";
  const std::string name = wish.forced->empty() && wish.names.size() == 1 ? wish.names[0] : *wish.forced;
  const bool json = facts.tools == ToolSyntax::kJson;
  switch (facts.tools) {
    case ToolSyntax::kTags: prefix += "<tool_call>\n"; break;
    case ToolSyntax::kJson: break;
    case ToolSyntax::kMistral: prefix += "[TOOL_CALLS]["; break;
    case ToolSyntax::kPhi: prefix += "<|tool_call|>["; break;
  }
  prefix += "{\"name\": \"" + name;
  if (!name.empty()) prefix += json ? "\", \"parameters\": {" : "\", \"arguments\": {";
  return prefix;
}

void ApplyTools(const ToolWish& wish, const backend::Facts& facts, serving::GenerateRequest* request) {
  if (wish.json.empty()) return;
  for (serving::Prompt& prompt : request->prompts) {
    auto* chat = std::get_if<backend::ChatPrompt>(&prompt);
    if (chat == nullptr) continue;
    chat->tools_json = wish.json;
    chat->answer_prefix = AnswerPrefix(wish, facts);
  }
  // The marks of the others are control tokens, which text leaves out.
  if (facts.tools != ToolSyntax::kTags) request->special_tokens_in_text = true;
}

AnswerRules RulesOf(const ToolWish& wish, const backend::Facts& facts, const serving::GenerateRequest& request) {
  AnswerRules rules;
  const auto* chat = request.prompts.empty() ? nullptr : std::get_if<backend::ChatPrompt>(&request.prompts.front());
  if (chat == nullptr) return rules;
  rules.syntax = facts.tools;
  rules.tools = wish.names;
  rules.one_call = wish.one_call;
  rules.thinks = facts.thinks && chat->add_generation_prompt;
  rules.opens_thinking = facts.opens_thinking && chat->add_generation_prompt;
  return rules;
}

void WriteArguments(std::string_view arguments, codec::JsonWriter* w) {
  const auto object = codec::ParseJson(arguments);
  if (object.ok() && object->AsObject() != nullptr) {
    w->Value(*object);
    return;
  }
  w->Object();
  if (!arguments.empty()) w->Key("unfinished").Value(arguments);
  w->End();
}

}  // namespace pelton::api::turn
