#include <fmt/core.h>

#include "api/status_map.h"
#include "server/steps/steps.h"

namespace pelton::server {

Refusal FindItsRoute(const StepContext& context, const net::RequestHead& head,
                     RequestFacts* facts) {
  facts->match = FindRoute(head.method, head.path);
  const bool pages = context.options.playground == "on";
  if (!pages && IsPagePath(head.path)) facts->match = {};
  return std::nullopt;  // an unknown path is told only to who may know (CheckMethod)
}

Refusal CheckMethod(const StepContext&, const net::RequestHead& head, RequestFacts* facts) {
  const RouteMatch& match = facts->match;
  if (match.route != nullptr) return std::nullopt;
  if (match.allow.empty()) {
    return api::HttpErrorResponse(
        404, "there is nothing at this URL; GET /openapi.json lists what there is");
  }
  net::Response response;
  if (head.method == "OPTIONS") {
    response.status = 204;
  } else {
    response = api::HttpErrorResponse(
        405, fmt::format("this URL answers {} only", match.allow));
  }
  response.headers.Add("allow", match.allow);
  return response;
}

}  // namespace pelton::server
