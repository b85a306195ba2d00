#include "obs/access_log.h"
#include "server/steps/steps.h"

namespace pelton::server {

// The client's own id when it sends a plain one, else a random one.
Refusal GiveRequestId(const StepContext&, const net::RequestHead& head, RequestFacts* facts) {
  facts->request_id = obs::ChooseRequestId(head.headers.Find("x-request-id"));
  return std::nullopt;
}

}  // namespace pelton::server
