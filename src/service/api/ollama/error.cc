#include "api/ollama/error.h"

#include "codec/json.h"
#include "codec/json_write.h"

namespace pelton::api::ollama {

std::string ErrorBody(std::string_view message) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("error").Value(message).End();
  return body;
}

net::Response ErrorResponse(const Status& status) {
  net::Response response = api::ErrorResponse(status);
  response.body = ErrorBody(status.message());
  return response;
}

bool IsPath(std::string_view path) { return path.starts_with("/api/"); }

void Reshape(net::Response* response) {
  if (response->status < 400) return;
  const Result<codec::Json> body = codec::ParseJson(response->body);
  const codec::Json* error = body.ok() ? body->Find("error") : nullptr;
  const codec::Json* message = error == nullptr ? nullptr : error->Find("message");
  if (message == nullptr || message->AsString() == nullptr) return;
  response->body = ErrorBody(*message->AsString());
}

}  // namespace pelton::api::ollama
