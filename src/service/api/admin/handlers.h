// What operators and probes ask: health, readiness, version, metrics, figures.
#pragma once

#include "api/app.h"
#include "codec/json_write.h"

namespace pelton::api::admin {

void Healthz(const Call& call);   // 200 while every loaded model's loop turns
void Readyz(const Call& call);    // 200 when all models are loaded and nothing drains
void Health(const Call& call);    // 503 until first ready, then as Healthz
void Version(const Call& call);
void Metrics(const Call& call);
void Requests(const Call& call);  // the last requests and their timings: one's own, operators all

void Engine(const Call& call);    // memory, CPU, and of each model: what runs, waits, steps take

// Memory and CPU: "memory" and "cpu" members of an object that has been begun.
void WriteMachine(const App& app, codec::JsonWriter* w);
// What models do: "models" and "admission".
void WriteModels(const App& app, codec::JsonWriter* w);

// Body of the three: {"path": FILE, "evict": false, "wait": true}, each optional.
void ListModels(const Call& call);
void LoadModel(const Call& call);
void UnloadModel(const Call& call);
void SwapModel(const Call& call);

}  // namespace pelton::api::admin
