// Ollama's request bodies → serving requests: the only place that knows its field names. Pure functions
// of the body; everything a client can send ends in a value or in INVALID_ARGUMENT that names the field.
// https://github.com/ollama/ollama/blob/main/docs/api.md
#pragma once

#include "api/generate.h"
#include "api/ollama/fields.h"

namespace pelton::api::ollama {

// No prompt in the result: the client wants the model in memory, or out of it (form.unload).
Result<ParsedRequest> ParseChat(std::string_view body, bool strict);
Result<ParsedRequest> ParseGenerate(std::string_view body, bool strict);

// What kShow and kPull are about.
struct ParsedName {
  std::string model;
  bool stream = true;
  std::vector<std::string> ignored;
};
Result<ParsedName> ParseName(std::string_view body, Endpoint endpoint, bool strict);

}  // namespace pelton::api::ollama
