#include "api/status_map.h"
#include "server/steps/steps.h"

namespace pelton::server {

Refusal CheckDraining(const StepContext& context, const net::RequestHead&, RequestFacts* facts) {
  if (!facts->match.route->starts_work || !context.app.draining.load()) return std::nullopt;
  return api::ErrorResponse(
      Unavailable("the server is shutting down; ask another").WithRetryAfter(1000));
}

}  // namespace pelton::server
