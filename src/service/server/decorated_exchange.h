// An exchange that adds what every answer carries (request id, CORS, hardening headers) and reports
// its end to metrics and the access log.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/http.h"
#include "server/steps/steps.h"

namespace pelton::server {

// What every answer carries.
void AddCommonHeaders(const RequestFacts& facts, net::Headers* headers);

struct Ending {
  std::string_view method;
  std::string_view path;
  std::string_view route;   // pattern, or "none"
  std::string_view request_id;
  std::string_view tenant;
  int status = 0;           // 499: the client went before the end
  int64_t duration_ns = 0;
};
// Called once for every exchange, when it ends; on any thread.
using OnEnding = std::function<void(const Ending&)>;

std::shared_ptr<net::Exchange> Decorate(std::shared_ptr<net::Exchange> inner,
                                        const RequestFacts& facts, OnEnding on_ending);

}  // namespace pelton::server
