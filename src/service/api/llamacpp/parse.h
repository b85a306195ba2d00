// Bodies of llama.cpp's /completion → serving requests: the only place that knows its field names. Pure
// functions of the body. https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
#pragma once

#include "api/generate.h"
#include "api/llamacpp/fields.h"

namespace pelton::api::llamacpp {

Result<ParsedRequest> ParseCompletion(std::string_view body, bool strict);

}  // namespace pelton::api::llamacpp
