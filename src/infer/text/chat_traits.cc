#include "text/chat_traits.h"

#include <algorithm>
#include <string>

#include "codec/json.h"
#include "codec/json_write.h"

namespace pelton::text {
namespace {

using codec::Json;

bool Has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

Status BadJson(std::string_view what) {
  return InvalidArgument(std::string(what) + ": not a JSON array");
}

// What the model is told. Its own words; the form of a call is the one most models have seen.
Result<std::string> ToolsText(const std::string& tools_json) {
  const auto tools = codec::ParseJson(tools_json);
  if (!tools.ok() || tools->AsArray() == nullptr) return BadJson("tools");
  std::string text =
      "You can call the functions below. Call one when it helps to answer; otherwise answer in words.\n"
      "To call, write only this, with the function's name and an object of its arguments:\n"
      "<tool_call>\n{\"name\": \"NAME\", \"arguments\": {}}\n</tool_call>\n"
      "The result comes back between <tool_response> and </tool_response>.\n\n"
      "Functions, one in a line:\n";
  for (const Json& tool : *tools->AsArray()) {
    const Json* function = tool.Find("function");
    text += codec::WriteJson(function == nullptr ? tool : *function);
    text.push_back('\n');
  }
  return text;
}

Result<std::string> CallsText(const std::string& calls_json) {
  const auto calls = codec::ParseJson(calls_json);
  if (!calls.ok() || calls->AsArray() == nullptr) return BadJson("tool_calls");
  std::string text;
  for (const Json& call : *calls->AsArray()) {
    const Json* function = call.Find("function");
    const Json* name = function == nullptr ? nullptr : function->Find("name");
    const Json* arguments = function == nullptr ? nullptr : function->Find("arguments");
    if (name == nullptr || arguments == nullptr) return BadJson("tool_calls");
    if (!text.empty()) text.push_back('\n');
    text += "<tool_call>\n{\"name\": " + codec::WriteJson(*name) + ", \"arguments\": ";
    text += arguments->AsString() != nullptr ? *arguments->AsString() : codec::WriteJson(*arguments);
    text += "}\n</tool_call>";
  }
  return text;
}

}  // namespace

ToolSyntax ToolSyntaxOf(std::string_view source) {
  if (Has(source, "[TOOL_CALLS]")) return ToolSyntax::kMistral;
  if (Has(source, "<|tool_call|>")) return ToolSyntax::kPhi;
  if (Has(source, "<tool_call>") || !KnowsTools(source)) return ToolSyntax::kTags;
  return ToolSyntax::kJson;
}

bool KnowsTools(std::string_view source) { return Has(source, "tools"); }

bool Thinks(std::string_view source) { return Has(source, "<think>") || Has(source, "</think>"); }

bool SpeaksOfTools(const ChatTemplateInput& input) {
  const auto speaks = [](const ChatMessage& m) { return m.role == "tool" || !m.tool_calls_json.empty(); };
  return !input.tools_json.empty() || std::any_of(input.messages.begin(), input.messages.end(), speaks);
}

Result<ChatTemplateInput> WithGenericTools(const ChatTemplateInput& input) {
  ChatTemplateInput out = input;
  out.tools_json.clear();
  for (ChatMessage& message : out.messages) {
    if (message.role == "tool") {
      message.role = "user";
      message.content = "<tool_response>\n" + message.content + "\n</tool_response>";
    } else if (!message.tool_calls_json.empty()) {
      auto calls = CallsText(message.tool_calls_json);
      RETURN_IF_ERROR(calls.status());
      if (!message.content.empty()) message.content.push_back('\n');
      message.content += *calls;
      message.tool_calls_json.clear();
    }
  }
  if (input.tools_json.empty()) return out;
  auto tools = ToolsText(input.tools_json);
  RETURN_IF_ERROR(tools.status());
  const bool has_system = !out.messages.empty() &&
                          (out.messages[0].role == "system" || out.messages[0].role == "developer");
  if (has_system) {
    out.messages[0].content += "\n\n" + *tools;
  } else {
    ChatMessage system;
    system.role = "system";
    system.content = *std::move(tools);
    out.messages.insert(out.messages.begin(), std::move(system));
  }
  return out;
}

}  // namespace pelton::text
