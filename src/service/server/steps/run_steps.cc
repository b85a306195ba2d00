#include "api/anthropic/error.h"
#include "api/ollama/error.h"
#include "server/steps/steps.h"

namespace pelton::server {
namespace {

// The order is the contract: nobody learns of a route before having shown a key, and no body is
// read before all of them agree.
constexpr Step kSteps[] = {
    GiveRequestId,
    CheckHost,
    CheckOrigin,
    FindItsRoute,
    Authenticate,
    CheckMethod,
    Authorise,
    CheckDraining,
    CheckHandler,
    CheckBody,
};

}  // namespace

Refusal RunSteps(const StepContext& context, const net::RequestHead& head, RequestFacts* facts) {
  for (const Step step : kSteps) {
    Refusal refusal = step(context, head, facts);
    if (!refusal) continue;
    if (api::anthropic::IsPath(head.path)) api::anthropic::Reshape(facts->request_id, &*refusal);
    if (api::ollama::IsPath(head.path)) api::ollama::Reshape(&*refusal);
    return refusal;
  }
  return std::nullopt;
}

}  // namespace pelton::server
