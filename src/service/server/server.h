// The HTTP server: steps, then the route's handler. And how it ends: Drain.
#pragma once

#include <memory>

#include "api/app.h"
#include "identity/keys.h"
#include "net/http.h"
#include "server/options.h"

namespace pelton::server {

class Server {  // thread-safe
 public:
  // Listens before returning. All arguments outlive the server. App::write_buffer_max is set here.
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                               const identity::KeyRing& keys, api::App& app);
  virtual ~Server() = default;  // closes everything

  virtual int port() const = 0;

  // New work is refused (503) and /readyz says so from now on; what runs goes on.
  virtual void BeginDrain() = 0;
  // True once nothing is under way; waits at most `timeout_ms`.
  virtual bool WaitIdle(int timeout_ms) = 0;
  // Closes the listener; connections close after their answers.
  virtual void StopAccepting() = 0;
};

}  // namespace pelton::server
