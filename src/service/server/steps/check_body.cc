#include <fmt/core.h>

#include <string>

#include "api/ollama/error.h"
#include "api/status_map.h"
#include "server/steps/steps.h"

namespace pelton::server {
namespace {

std::string Normal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '"') {
      out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
  }
  return out;
}

// "application/json", perhaps with charset=utf-8.
bool IsJson(std::string_view content_type) {
  const std::string type = Normal(content_type);
  return type == "application/json" || type == "application/json;" ||
         type == "application/json;charset=utf-8" || type == "application/json;charset=utf8";
}

// What curl -d says of every body, as in all of Ollama's examples. Pages of other origins, which can send
// it too, have been refused by now.
bool IsCurlsDefault(std::string_view content_type, std::string_view path) {
  return api::ollama::IsPath(path) && Normal(content_type) == "application/x-www-form-urlencoded";
}

}  // namespace

Refusal CheckBody(const StepContext& context, const net::RequestHead& head, RequestFacts* facts) {
  if (facts->match.route->body == BodyKind::kNone) return std::nullopt;
  const auto type = head.headers.Find("content-type");
  if (type && !IsJson(*type) && !IsCurlsDefault(*type, head.path)) {
    return api::HttpErrorResponse(
        415, "the body must be JSON: send content-type: application/json");
  }
  const auto encoding = head.headers.Find("content-encoding");
  if (encoding && Normal(*encoding) != "identity") {
    return api::HttpErrorResponse(415, "compressed bodies are not accepted");
  }
  const auto limit = static_cast<uint64_t>(context.options.body_bytes_max);
  if (head.content_length && *head.content_length > limit) {
    return api::HttpErrorResponse(
        413, fmt::format("the body has {} bytes; at most {} are allowed", *head.content_length,
                         limit));
  }
  return std::nullopt;
}

}  // namespace pelton::server
