// Errors in Ollama's shape.
#pragma once

#include <string>
#include <string_view>

#include "api/status_map.h"

namespace pelton::api::ollama {

// {"error":…}
std::string ErrorBody(std::string_view message);
net::Response ErrorResponse(const Status& status);

// Whether a path's answers have this shape.
bool IsPath(std::string_view path);
// An answer in OpenAI's shape, of a step before the handler, in this one. Others are left alone.
void Reshape(net::Response* response);

}  // namespace pelton::api::ollama
