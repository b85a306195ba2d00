// The one table from Status to what clients of HTTP see. gRPC's column joins with gRPC.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "net/http.h"

namespace pelton::api {

// How an error looks in OpenAI's shape.
struct ErrorLook {
  int http = 500;
  std::string_view type;  // "invalid_request_error"
  std::string_view code;  // "model_not_found"; empty: null
};
ErrorLook LookOf(const Status& status);
// The look of an answer whose HTTP status is fixed by the protocol (404 route, 405, 413 …).
ErrorLook LookOfHttp(int http);

// {"error":{"message":…,"type":…,"param":…,"code":…}}
std::string ErrorBody(const ErrorLook& look, std::string_view message, std::string_view param);
std::string ErrorBody(const Status& status);

// With Retry-After (whole seconds, rounded up) where the status has one.
net::Response ErrorResponse(const Status& status);
net::Response HttpErrorResponse(int http, std::string_view message);
net::Response JsonResponse(std::string body);

}  // namespace pelton::api
