// Errors in Anthropic's shape.
#pragma once

#include <string>
#include <string_view>

#include "api/status_map.h"

namespace pelton::api::anthropic {

// {"type":"error","error":{"type":…,"message":…},"request_id":…}
std::string ErrorBody(int http, std::string_view message, std::string_view request_id);
std::string ErrorBody(const Status& status, std::string_view request_id);
net::Response ErrorResponse(const Status& status, std::string_view request_id);

// Whether a path's answers have this shape.
bool IsPath(std::string_view path);
// An answer in OpenAI's shape, of a step before the handler, in this one. Others are left alone.
void Reshape(std::string_view request_id, net::Response* response);

}  // namespace pelton::api::anthropic
