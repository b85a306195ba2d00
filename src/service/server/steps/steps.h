// What happens to every request once its head is there and before any of its body is read: a list
// of steps, each of which may answer instead. One file each. Pure functions of head and context;
// run on io threads.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>

#include "api/app.h"
#include "identity/keys.h"
#include "net/http.h"
#include "server/options.h"
#include "server/routes.h"

namespace pelton::server {

// Constant while the server runs, but for App::draining.
struct StepContext {
  const ServerOptions& options;
  const identity::KeyRing& keys;
  const api::App& app;
  bool check_host = false;  // no keys and bound to loopback: only loopback's names may be asked for
};

// What the steps find out about one request.
struct RequestFacts {
  std::string request_id;
  std::string cors_origin;  // value of access-control-allow-origin; empty: none
  RouteMatch match;
  identity::Caller caller;
};

using Refusal = std::optional<net::Response>;
using Step = Refusal (*)(const StepContext&, const net::RequestHead&, RequestFacts*);

Refusal GiveRequestId(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal CheckHost(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal CheckOrigin(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal FindItsRoute(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal Authenticate(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal CheckMethod(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal Authorise(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal CheckDraining(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal CheckHandler(const StepContext&, const net::RequestHead&, RequestFacts*);
Refusal CheckBody(const StepContext&, const net::RequestHead&, RequestFacts*);

// Runs them in order; the first answer ends it.
Refusal RunSteps(const StepContext& context, const net::RequestHead& head, RequestFacts* facts);

}  // namespace pelton::server
