#include "api/status_map.h"
#include "server/steps/steps.h"

namespace pelton::server {

// Deny by default: only routes marked open, and pages, go without.
Refusal Authenticate(const StepContext& context, const net::RequestHead& head,
                     RequestFacts* facts) {
  const Route* route = facts->match.route;
  if (route != nullptr && (route->access == Access::kOpen || route->access == Access::kPage)) {
    return std::nullopt;
  }
  identity::Credentials credentials;
  credentials.authorization = head.headers.Find("authorization");
  credentials.x_api_key = head.headers.Find("x-api-key");
  credentials.presented = static_cast<int>(head.headers.Count("authorization") +
                                           head.headers.Count("x-api-key"));
  credentials.peer_is_loopback = head.peer_is_loopback;
  auto caller = context.keys.Authenticate(credentials);
  if (!caller.ok()) return api::ErrorResponse(caller.status());
  facts->caller = *std::move(caller);
  return std::nullopt;
}

Refusal Authorise(const StepContext&, const net::RequestHead&, RequestFacts* facts) {
  if (facts->match.route->access != Access::kOperator) return std::nullopt;
  if (facts->caller.role == identity::Role::kOperator) return std::nullopt;
  return api::ErrorResponse(PermissionDenied("this needs a key of role operator"));
}

}  // namespace pelton::server
