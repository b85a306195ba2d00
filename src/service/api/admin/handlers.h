// What operators and probes ask: health, readiness, version, metrics.
#pragma once

#include "api/app.h"

namespace pelton::api::admin {

void Healthz(const Call& call);   // 200 while every loaded model's loop turns
void Readyz(const Call& call);    // 200 when all models are loaded and nothing drains
void Health(const Call& call);    // 503 until first ready, then as Healthz
void Version(const Call& call);
void Metrics(const Call& call);

}  // namespace pelton::api::admin
