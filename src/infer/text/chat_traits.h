// What a chat template's text says about the answers of its model: how calls of tools are written, and
// whether the model thinks aloud first.
#pragma once

#include <string_view>

#include "text/chat_template.h"

namespace pelton::text {

// ToolSyntax of a template's source. A template that knows no tools: kTags, by the words of
// WithGenericTools.
ToolSyntax ToolSyntaxOf(std::string_view source);
// Whether the template shows the variable `tools`.
bool KnowsTools(std::string_view source);
// Whether answers may begin with <think>…</think>.
bool Thinks(std::string_view source);

// Whether tools, calls or results stand in a conversation.
bool SpeaksOfTools(const ChatTemplateInput& input);
// For templates that know no tools: the tools, and how to call them, become part of the system message;
// calls and results of earlier turns become text of the assistant and of the user. INVALID_ARGUMENT when
// tools_json or tool_calls_json is no JSON array.
Result<ChatTemplateInput> WithGenericTools(const ChatTemplateInput& input);

}  // namespace pelton::text
