// An exchange that adds what every answer carries (request id, CORS, hardening headers) and reports
// its end to metrics and the access log.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/http.h"
#include "server/steps/steps.h"

namespace pelton::server {

inline constexpr int kClientGone = 499;  // the status of an answer nobody waited for

// What every answer carries.
void AddCommonHeaders(const RequestFacts& facts, net::Headers* headers);

struct Ending {
  const net::RequestHead& head;
  const RequestFacts& facts;
  const api::Notes& notes;
  int status = 0;  // kClientGone: the client went before the end
  int64_t duration_ns = 0;
};
// Called once for every exchange, when it ends; on any thread.
using OnEnding = std::function<void(const Ending&)>;

std::shared_ptr<net::Exchange> Decorate(std::shared_ptr<net::Exchange> inner,
                                        const RequestFacts& facts,
                                        std::shared_ptr<api::Notes> notes, OnEnding on_ending);

}  // namespace pelton::server
