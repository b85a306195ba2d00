// Tools of a request: reading them, and what they mean for prompt and answer once the model is known.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/turn/answer_reader.h"
#include "backend/backend.h"
#include "base/status.h"
#include "codec/json.h"
#include "codec/json_write.h"
#include "serving/request.h"

namespace pelton::api::turn {

inline constexpr size_t kToolsMax = 128;
inline constexpr size_t kToolsBytesMax = 200'000;  // written as JSON
inline constexpr size_t kToolNameMax = 64;

struct ToolWish {
  std::string json;                // what the template shows, in OpenAI's shape; empty: no tools
  std::vector<std::string> names;  // that may be called
  std::optional<std::string> forced;  // a call must come: of this tool, or, empty, of any
  bool one_call = false;
};

// What every API's tools are held to; INVALID_ARGUMENT naming `at`. The name is kept.
Status CheckToolCount(size_t count);
Status AddToolName(const std::string* name, const std::string& at, ToolWish* out);
// Keeps the tools, an array in OpenAI's shape, if their size allows.
Status KeepTools(const codec::Json& tools, ToolWish* out);

// `tools` in OpenAI's shape. INVALID_ARGUMENT naming the member. Members without effect go to `ignored`.
Status ReadTools(const codec::Json& tools, ToolWish* out, std::vector<std::string>* ignored);

// What the answer is made to begin with so that it is the wished call; empty when none is forced.
std::string AnswerPrefix(const ToolWish& wish, const backend::Facts& facts);
// Puts tools and prefix into the chat prompts of `request`, for the model of these facts.
void ApplyTools(const ToolWish& wish, const backend::Facts& facts, serving::GenerateRequest* request);
// How the answer is read. A prompt that is no chat: as text; one that continues a message: without thoughts.
AnswerRules RulesOf(const ToolWish& wish, const backend::Facts& facts, const serving::GenerateRequest& request);

// For APIs whose answers hold a call's arguments as an object: what is none, since the call was cut off,
// becomes {"unfinished": "…"}.
void WriteArguments(std::string_view arguments, codec::JsonWriter* w);

}  // namespace pelton::api::turn
