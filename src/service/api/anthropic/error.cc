#include "api/anthropic/error.h"

#include "codec/json.h"
#include "codec/json_write.h"

namespace pelton::api::anthropic {
namespace {

std::string_view TypeOf(int http) {
  switch (http) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    case 504: return "timeout_error";
    default: return http < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

std::string ErrorBody(int http, std::string_view message, std::string_view request_id) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("type").Value("error").Key("error").Object();
  w.Key("type").Value(TypeOf(http)).Key("message").Value(message).End();
  w.Key("request_id").Value(request_id).End();
  return body;
}

std::string ErrorBody(const Status& status, std::string_view request_id) {
  return ErrorBody(LookOf(status).http, status.message(), request_id);
}

net::Response ErrorResponse(const Status& status, std::string_view request_id) {
  net::Response response = api::ErrorResponse(status);
  response.body = ErrorBody(status, request_id);
  response.headers.Add("request-id", std::string(request_id));
  return response;
}

bool IsPath(std::string_view path) {
  return path == "/v1/messages" || path.starts_with("/v1/messages/");
}

void Reshape(std::string_view request_id, net::Response* response) {
  if (response->status < 400) return;
  const Result<codec::Json> body = codec::ParseJson(response->body);
  const codec::Json* error = body.ok() ? body->Find("error") : nullptr;
  const codec::Json* message = error == nullptr ? nullptr : error->Find("message");
  if (message == nullptr || message->AsString() == nullptr) return;
  response->body = ErrorBody(response->status, *message->AsString(), request_id);
  response->headers.Add("request-id", std::string(request_id));
}

}  // namespace pelton::api::anthropic
