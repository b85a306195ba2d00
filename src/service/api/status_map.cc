#include "api/status_map.h"

#include <algorithm>
#include <array>

#include "codec/json_write.h"

namespace pelton::api {
namespace {

constexpr std::string_view kInvalid = "invalid_request_error";

struct Row {
  StatusCode status;
  ErrorLook look;
};
constexpr std::array kByStatus = {
    Row{StatusCode::kCancelled, {499, "request_cancelled", "cancelled"}},
    Row{StatusCode::kUnknown, {500, "server_error", "internal_error"}},
    Row{StatusCode::kInvalidArgument, {400, kInvalid, "invalid_value"}},
    Row{StatusCode::kDeadlineExceeded, {504, "timeout_error", "deadline_exceeded"}},
    Row{StatusCode::kNotFound, {404, kInvalid, "model_not_found"}},
    Row{StatusCode::kAlreadyExists, {409, kInvalid, "already_exists"}},
    Row{StatusCode::kPermissionDenied, {403, "permission_error", "permission_denied"}},
    Row{StatusCode::kResourceExhausted, {429, "rate_limit_error", "server_full"}},
    Row{StatusCode::kFailedPrecondition, {400, kInvalid, "failed_precondition"}},
    Row{StatusCode::kAborted, {409, kInvalid, "aborted"}},
    Row{StatusCode::kOutOfRange, {400, kInvalid, "context_length_exceeded"}},
    Row{StatusCode::kUnimplemented, {501, kInvalid, "unsupported"}},
    Row{StatusCode::kInternal, {500, "server_error", "internal_error"}},
    Row{StatusCode::kUnavailable, {503, "service_unavailable_error", "unavailable"}},
    Row{StatusCode::kDataLoss, {500, "server_error", "internal_error"}},
    Row{StatusCode::kUnauthenticated, {401, "authentication_error", "invalid_api_key"}},
};
constexpr std::array kByHttp = {
    ErrorLook{400, kInvalid, "bad_request"},
    ErrorLook{403, "permission_error", "permission_denied"},
    ErrorLook{404, kInvalid, "unknown_url"},
    ErrorLook{405, kInvalid, "method_not_allowed"},
    ErrorLook{408, "timeout_error", "request_timeout"},
    ErrorLook{413, kInvalid, "body_too_large"},
    ErrorLook{414, kInvalid, "target_too_long"},
    ErrorLook{415, kInvalid, "unsupported_media_type"},
    ErrorLook{417, kInvalid, "expectation_failed"},
    ErrorLook{431, kInvalid, "headers_too_large"},
    ErrorLook{501, kInvalid, "not_implemented"},
    ErrorLook{503, "service_unavailable_error", "unavailable"},
    ErrorLook{505, kInvalid, "http_version_not_supported"},
};

}  // namespace

ErrorLook LookOf(const Status& status) {
  for (const Row& row : kByStatus) {
    if (row.status == status.code()) return row.look;
  }
  return {500, "server_error", "internal_error"};
}

ErrorLook LookOfHttp(int http) {
  for (const ErrorLook& look : kByHttp) {
    if (look.http == http) return look;
  }
  return {http, http < 500 ? kInvalid : "server_error", ""};
}

std::string ErrorBody(const ErrorLook& look, std::string_view message, std::string_view param) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("error").Object().Key("message").Value(message).Key("type").Value(look.type);
  w.Key("param");
  param.empty() ? w.Null() : w.Value(param);
  w.Key("code");
  look.code.empty() ? w.Null() : w.Value(look.code);
  w.End().End();
  return body;
}

std::string ErrorBody(const Status& status) {
  return ErrorBody(LookOf(status), status.message(), status.param());
}

net::Response JsonResponse(std::string body) {
  net::Response response;
  response.headers.Add("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

net::Response ErrorResponse(const Status& status) {
  net::Response response = JsonResponse(ErrorBody(status));
  response.status = LookOf(status).http;
  if (status.retry_after_ms()) {
    const int64_t seconds = std::max<int64_t>(1, (*status.retry_after_ms() + 999) / 1000);
    response.headers.Add("retry-after", std::to_string(seconds));
  }
  if (response.status == 401) response.headers.Add("www-authenticate", "Bearer");
  return response;
}

net::Response HttpErrorResponse(int http, std::string_view message) {
  net::Response response = JsonResponse(ErrorBody(LookOfHttp(http), message, {}));
  response.status = http;
  return response;
}

}  // namespace pelton::api
