#include <fmt/core.h>

#include "api/admin/handlers.h"
#include "api/status_map.h"
#include "base/clock.h"
#include "codec/json_write.h"

namespace pelton::api::admin {
namespace {

// A loop that has not turned for stall_s is stuck: its heartbeat moves also when it is idle.
Status CheckLoops(const App& app) {
  const int64_t now_ns = NowNs();
  const auto limit_ns = static_cast<int64_t>(app.options.stall_s * 1e9);
  for (const auto& served : app.service.catalogue().Ready()) {
    const int64_t age_ns = now_ns - served->backend->GetStats().heartbeat_ns;
    if (age_ns <= limit_ns) continue;
    return Unavailable(fmt::format("the generation loop of model '{}' has not turned for {} s",
                                   served->name, age_ns / 1'000'000'000));
  }
  return OkStatus();
}

void Answer(const Call& call, const Status& status) {
  net::Response response =
      status.ok() ? JsonResponse("{\"status\":\"ok\"}") : ErrorResponse(status);
  response.headers.Add("cache-control", "no-store");
  call.exchange->Respond(std::move(response));
}

}  // namespace

void Healthz(const Call& call) { Answer(call, CheckLoops(call.app)); }

void Readyz(const Call& call) {
  if (call.app.draining.load()) {
    Answer(call, Unavailable("the server is shutting down"));
  } else if (!call.app.service.catalogue().AllReady()) {
    Answer(call, Unavailable("models are still loading").WithRetryAfter(1000));
  } else {
    Answer(call, CheckLoops(call.app));
  }
}

void Health(const Call& call) {
  if (!call.app.service.catalogue().AllReady()) {
    Answer(call, Unavailable("models are still loading").WithRetryAfter(1000));
  } else {
    Answer(call, CheckLoops(call.app));
  }
}

void Version(const Call& call) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("name").Value("pelton").Key("version").Value(call.app.version).End();
  call.exchange->Respond(JsonResponse(std::move(body)));
}

void Metrics(const Call& call) {
  net::Response response;
  response.headers.Add("content-type", "text/plain; version=0.0.4; charset=utf-8");
  response.body = call.app.registry.Render();
  call.exchange->Respond(std::move(response));
}

}  // namespace pelton::api::admin
