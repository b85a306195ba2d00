// OpenAI's request bodies → serving requests: the only place that knows OpenAI's field names.
// Pure functions of the body; everything a client can send ends in a value or in INVALID_ARGUMENT
// that names the field.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/generate.h"
#include "api/openai/fields.h"
#include "base/status.h"
#include "codec/json.h"
#include "serving/request.h"

namespace pelton::api::openai {

using api::AnswerForm;
using api::ParsedRequest;

struct ParsedTokenize {
  std::string model;
  serving::Prompt prompt;
  bool parse_special = false;
  bool strings = false;    // names of the tokens too
  bool llama_cpp = false;  // the answer's shape
  std::vector<std::string> ignored;
};

struct ParsedDetokenize {
  std::string model;
  serving::TokenPrompt tokens;
  std::vector<std::string> ignored;
};

Result<codec::Json> ParseBody(std::string_view body);

Result<ParsedRequest> ParseChat(std::string_view body, bool strict);
Result<ParsedRequest> ParseCompletion(std::string_view body, bool strict);
Result<ParsedTokenize> ParseTokenize(std::string_view body, bool strict);
Result<ParsedDetokenize> ParseDetokenize(std::string_view body, bool strict);

// tools, tool_choice, parallel_tool_calls.
Status ReadToolWish(const codec::Json& body, turn::ToolWish* out, std::vector<std::string>* ignored);

// Shared by them.
// model, n, max tokens, sampling, stop, stream: what both endpoints have. Fields were checked.
Status ReadGeneration(const codec::Json& body, ParsedRequest* out);
// messages and template options.
Result<backend::ChatPrompt> ReadChatPrompt(const codec::Json& body,
                                           std::vector<std::string>* ignored);
Result<serving::TokenPrompt> ReadTokenIds(const codec::Json::Array& array,
                                          std::string_view param);

}  // namespace pelton::api::openai
