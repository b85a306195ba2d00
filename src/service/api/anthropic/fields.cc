#include "api/anthropic/fields.h"

#include "serving/request.h"

namespace pelton::api::anthropic {
namespace {

using enum FieldKind;

constexpr uint8_t kBoth = kMessages | kCountTokens;

constexpr FieldRow kRows[] = {
    {"model", kBoth, kString, Effect::kHonoured, "Name from /v1/models."},
    {"messages", kBoth, kArray, Effect::kHonoured,
     "The conversation: roles user and assistant, a text or blocks of text, tool_use, tool_result. A last "
     "message of the assistant is continued."},
    {"system", kBoth, kAny, Effect::kHonoured, "A text or blocks of text."},
    {"max_tokens", kMessages, kInteger, Effect::kHonoured, "Most tokens of the answer; required.", 1,
     serving::kMaxTokensMax},
    {"stop_sequences", kMessages, kArray, Effect::kHonoured, "At most 16 texts, each of 1 to 256 bytes."},
    {"stream", kMessages, kBool, Effect::kHonoured, "Answer as server-sent events."},
    {"temperature", kMessages, kNumber, Effect::kHonoured, "0: always the likeliest token.", 0, 1},
    {"top_p", kMessages, kNumber, Effect::kHonoured, "Keep the likeliest tokens up to this mass.", 0, 1},
    {"top_k", kMessages, kInteger, Effect::kHonoured, "Keep so many tokens; 0: all.", 0, 1 << 20},
    {"thinking", kBoth, kObject, Effect::kHonoured, "Types enabled and disabled; a budget has no effect."},
    {"tools", kBoth, kArray, Effect::kHonoured, "Tools of the client's own: at most 128 and 200 kB."},
    {"tool_choice", kBoth, kObject, Effect::kHonoured,
     "Types auto, none, any and tool; disable_parallel_tool_use."},

    {"metadata", kMessages, kObject, Effect::kIgnored},
    {"service_tier", kMessages, kString, Effect::kIgnored, "", 0, 0, "\"auto\""},
    {"inference_geo", kMessages, kString, Effect::kIgnored},
    {"cache_control", kBoth, kObject, Effect::kIgnored},

    {"mcp_servers", kBoth, kArray, Effect::kRefused},
    {"container", kMessages, kAny, Effect::kRefused},
    {"context_management", kBoth, kObject, Effect::kRefused},
    {"output_config", kBoth, kObject, Effect::kRefused},
    {"output_format", kBoth, kObject, Effect::kRefused},
};

}  // namespace

std::span<const FieldRow> FieldTable() { return kRows; }

}  // namespace pelton::api::anthropic
