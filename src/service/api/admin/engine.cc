// GET /v1/engine: what the process holds and computes with.
#include "api/admin/handlers.h"
#include "api/status_map.h"
#include "base/machine_limits.h"
#include "codec/json_write.h"

namespace pelton::api::admin {
namespace {

void WriteMemory(const MemoryBudget& memory, codec::JsonWriter* w) {
  const MemoryBudget::Limits& limits = memory.limits();
  w->Key("memory").Object().Key("limit_bytes").Value(limits.limit_bytes);
  w->Key("source").Value(limits.source).Key("reserve_bytes").Value(limits.reserve_bytes);
  w->Key("held_bytes").Value(memory.held_bytes()).Key("free_bytes").Value(memory.free_bytes());
  w->Key("resident_bytes").Value(ReadMemoryState().resident_bytes);
  w->Key("holders").Array();
  for (const auto& [name, bytes] : memory.Holders()) {
    w->Object().Key("name").Value(name).Key("bytes").Value(bytes).End();
  }
  w->End().End();
}

void WriteCpu(const CpuWatch& watch, codec::JsonWriter* w) {
  const CpuBudget budget = watch.budget();
  const CpuThrottling throttling = watch.throttling();
  w->Key("cpu").Object().Key("cpus").Value(budget.cpus).Key("quota");
  budget.quota ? w->Value(*budget.quota) : w->Null();
  w->Key("compute_threads").Value(budget.threads);
  w->Key("throttled_periods").Value(throttling.throttled_periods);
  w->Key("throttled_s").Value(static_cast<double>(throttling.throttled_us) * 1e-6).End();
}

}  // namespace

void WriteMachine(const App& app, codec::JsonWriter* w) {
  if (app.memory != nullptr) WriteMemory(*app.memory, w);
  if (app.cpu != nullptr) WriteCpu(*app.cpu, w);
}

void Engine(const Call& call) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object();
  WriteMachine(call.app, &w);
  WriteModels(call.app, &w);
  w.End();
  call.exchange->Respond(JsonResponse(std::move(body)));
}

}  // namespace pelton::api::admin
