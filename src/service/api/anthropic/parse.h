// Anthropic's request bodies → serving requests: the only place that knows its field names. Pure
// functions of the body; everything a client can send ends in a value or in INVALID_ARGUMENT that names
// the field. https://docs.anthropic.com/en/api/messages
#pragma once

#include "api/anthropic/fields.h"
#include "api/generate.h"

namespace pelton::api::anthropic {

Result<ParsedRequest> ParseMessages(std::string_view body, bool strict);

struct ParsedCount {
  std::string model;
  backend::ChatPrompt prompt;
  std::vector<std::string> ignored;
};
Result<ParsedCount> ParseCount(std::string_view body, bool strict);

}  // namespace pelton::api::anthropic
