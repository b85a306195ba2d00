#include "server/server.h"

#include <fmt/core.h>

#include <utility>

#include "api/status_map.h"
#include "base/clock.h"
#include "obs/access_log.h"
#include "server/decorated_exchange.h"
#include "server/steps/steps.h"

namespace pelton::server {
namespace {

std::string_view PatternOf(const RequestFacts& facts) {
  return facts.match.route == nullptr ? "none" : facts.match.route->pattern;
}

// Counts and logs answers. Shared with exchanges, which may outlive the server by a moment.
class Recorder {
 public:
  Recorder(obs::Registry& registry, obs::AccessLog log)
      : registry_(registry), log_(std::move(log)),
        latency_(registry.GetHistogram("pelton_http_request_seconds",
                                       "From a request's body to the end of its answer.",
                                       obs::LatencyBounds())) {}

  void Record(const Ending& ending) {
    const net::RequestHead& head = ending.head;
    const double seconds = static_cast<double>(ending.duration_ns) * 1e-9;
    Count(head.method, PatternOf(ending.facts), ending.status);
    latency_.Observe(seconds);
    const api::Notes& notes = ending.notes;
    log_.Write({.id = ending.facts.request_id, .peer = head.peer, .method = head.method,
                .path = head.path, .status = ending.status, .seconds = seconds,
                .tenant = ending.facts.caller.tenant, .model = notes.model,
                .finish = ending.status == kClientGone ? "disconnect" : notes.finish,
                .queue_seconds = notes.queue_s, .first_token_seconds = notes.first_token_s,
                .prompt_tokens = notes.prompt_tokens, .cached_tokens = notes.cached_tokens,
                .completion_tokens = notes.completion_tokens});
  }

  void Count(std::string_view method, std::string_view route, int status) {
    const bool known = route != "none";
    registry_
        .GetCounter("pelton_http_requests_total", "Answers, by route and status.",
                    {{"method", known ? std::string(method) : "other"},
                     {"route", std::string(route)},
                     {"status", std::to_string(status)}})
        .Add();
  }

 private:
  obs::Registry& registry_;
  const obs::AccessLog log_;
  obs::Histogram& latency_;
};

class HttpService final : public Server, public net::Handler {
 public:
  HttpService(const ServerOptions& options, const identity::KeyRing& keys, api::App& app,
              obs::AccessLog log)
      : options_(options), app_(app),
        context_{options, keys, app,
                 !keys.has_keys() && IsLoopbackHost(options.net.host) &&
                     !options.allow_unauthenticated},
        recorder_(std::make_shared<Recorder>(app.registry, std::move(log))) {}

  Status Listen() {
    auto http = net::HttpServer::Start(options_.net, *this);
    if (!http.ok()) {
      return {http.status().code(),
              http.status().message() + "; choose another address with --host and --port"};
    }
    http_ = *std::move(http);
    AddGauges();
    return OkStatus();
  }

  int port() const override { return http_->port(); }
  void BeginDrain() override {
    app_.draining.store(true);
    app_.service.CloseIntake();
  }
  bool WaitIdle(int timeout_ms) override { return http_->WaitIdle(timeout_ms); }
  void StopAccepting() override { http_->StopAccepting(); }

  net::HeadDecision OnHead(const net::RequestHead& head) override {
    RequestFacts facts;
    Refusal refusal = RunSteps(context_, head, &facts);
    if (refusal) {
      const api::Notes nothing;
      recorder_->Record({.head = head, .facts = facts, .notes = nothing,
                         .status = refusal->status, .duration_ns = 0});
      AddCommonHeaders(facts, &refusal->headers);
      return {.refuse = std::move(refusal), .body_bytes_max = 0};
    }
    const bool has_body = facts.match.route->body != BodyKind::kNone;
    return {.refuse = std::nullopt,
            .body_bytes_max = has_body ? static_cast<uint64_t>(options_.body_bytes_max) : 0};
  }

  void OnRequest(std::shared_ptr<net::Exchange> exchange) override {
    RequestFacts facts;
    // Again, because the interface carries nothing over; the answer may have changed meanwhile
    // (draining has begun), and then the later one counts.
    Refusal refusal = RunSteps(context_, exchange->head(), &facts);
    auto notes = std::make_shared<api::Notes>();
    auto decorated = Decorate(std::move(exchange), facts, notes,
                              [recorder = recorder_](const Ending& ending) {
                                recorder->Record(ending);
                              });
    if (refusal) {
      decorated->Respond(*std::move(refusal));
      return;
    }
    facts.match.route->handler({.app = app_,
                                .exchange = std::move(decorated),
                                .caller = std::move(facts.caller),
                                .request_id = std::move(facts.request_id),
                                .path_parameter = std::move(facts.match.parameter),
                                .arrived_ns = NowNs(),
                                .notes = std::move(notes)});
  }

  net::Response OnProtocolError(int status, std::string_view reason) override {
    recorder_->Count("", "none", status);
    RequestFacts facts;
    facts.request_id = obs::ChooseRequestId(std::nullopt);
    net::Response response = api::HttpErrorResponse(status, reason);
    AddCommonHeaders(facts, &response.headers);
    return response;
  }

 private:
  void AddGauges() {
    const auto gauge = [&](std::string_view name, std::string_view help, auto read) {
      app_.registry.AddGauge(name, help, {}, [this, read] {
        return static_cast<double>(read(http_->Stats()));
      });
    };
    const auto counter = [&](std::string_view name, std::string_view help, auto read) {
      app_.registry.AddCounterFunction(name, help, {}, [this, read] {
        return static_cast<double>(read(http_->Stats()));
      });
    };
    using S = net::ServerStats;
    gauge("pelton_connections", "Open connections.", [](const S& s) { return s.connections; });
    counter("pelton_connections_accepted_total", "Connections accepted.",
            [](const S& s) { return s.accepted; });
    counter("pelton_connections_refused_total", "Connections beyond the limit.",
            [](const S& s) { return s.refused; });
    counter("pelton_protocol_errors_total", "Requests that were no HTTP.",
            [](const S& s) { return s.protocol_errors; });
    counter("pelton_connection_timeouts_total", "Connections closed for being slow.",
            [](const S& s) { return s.timeouts; });
  }

  const ServerOptions& options_;
  api::App& app_;
  const StepContext context_;
  const std::shared_ptr<Recorder> recorder_;
  std::unique_ptr<net::HttpServer> http_;  // last: its threads use everything above
};

}  // namespace

Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                              const identity::KeyRing& keys, api::App& app) {
  app.write_buffer_max = options.net.write_buffer_max;
  auto log = obs::AccessLog::Open(options.access_log);
  if (!log.ok()) return log.status();
  auto server = std::make_unique<HttpService>(options, keys, app, *std::move(log));
  RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace pelton::server
