#include <fmt/core.h>

#include <algorithm>

#include "api/openai/parse.h"

namespace pelton::api::openai {
namespace {

using codec::Json;

// {"type":"function","function":{"name":…}} → the name, or null.
const std::string* NamedFunction(const Json& choice) {
  const Json* type = choice.Find("type");
  const Json* function = choice.Find("function");
  const Json* name = function == nullptr ? nullptr : function->Find("name");
  if (type == nullptr || type->AsString() == nullptr || *type->AsString() != "function") return nullptr;
  return name == nullptr ? nullptr : name->AsString();
}

}  // namespace

Status ReadToolWish(const Json& body, turn::ToolWish* out, std::vector<std::string>* ignored) {
  if (const Json* tools = Given(body, "tools")) RETURN_IF_ERROR(turn::ReadTools(*tools, out, ignored));
  out->one_call = !GivenBool(body, "parallel_tool_calls", true);
  const Json* choice = Given(body, "tool_choice");
  if (choice == nullptr) return OkStatus();
  const std::string* word = choice->AsString();
  if (word != nullptr && *word == "none") {
    *out = {};  // the model is not told of them, so that it calls none
    return OkStatus();
  }
  if (word != nullptr && *word == "auto") return OkStatus();
  const std::string* name = word == nullptr ? NamedFunction(*choice) : nullptr;
  if (name == nullptr && (word == nullptr || *word != "required")) {
    return BadField("tool_choice", "must be none, auto, required or "
                                   "{\"type\": \"function\", \"function\": {\"name\": …}}");
  }
  if (out->names.empty()) return BadField("tool_choice", "wants a call, but there are no 'tools'");
  if (GivenBool(body, "continue_final_message", false)) {
    return BadField("tool_choice", "wants a call, which cannot continue a message");
  }
  if (name != nullptr && std::find(out->names.begin(), out->names.end(), *name) == out->names.end()) {
    return BadField("tool_choice", fmt::format("names \"{}\", which is none of 'tools'", *name));
  }
  out->forced = name == nullptr ? "" : *name;
  if (name != nullptr) out->names = {*name};
  return OkStatus();
}

}  // namespace pelton::api::openai
