#include <string>

#include "api/status_map.h"
#include "server/steps/steps.h"

namespace pelton::server {

// What clients of other servers ask for and this one does not do: said before a body of any size comes.
Refusal CheckHandler(const StepContext&, const net::RequestHead&, RequestFacts* facts) {
  if (facts->match.route->handler != nullptr) return std::nullopt;
  return api::ErrorResponse(Unimplemented(std::string(facts->match.route->summary)));
}

}  // namespace pelton::server
