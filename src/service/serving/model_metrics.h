// What generation reports, one set a model. Thread-safe.
#pragma once

#include <array>
#include <functional>
#include <string_view>

#include "backend/backend.h"
#include "obs/metrics.h"
#include "serving/model_measure.h"

namespace pelton::serving {

struct ModelMetrics {
  ModelMetrics(obs::Registry& registry, std::string_view model);

  obs::Counter& prompt_tokens;
  obs::Counter& generated_tokens;
  obs::Counter& cached_tokens;
  std::array<obs::Counter*, 4> finished;  // by FinishReason
  obs::Histogram& queue_s;
  obs::Histogram& first_token_s;  // from the arrival of the request
  obs::Histogram& token_gap_s;
  obs::Histogram& request_s;
  ModelMeasure measure;
};

// Gauges read from the backend's own figures, with vLLM's names beside ours. `stats` is called while
// rendering, also when the model is not loaded.
void AddBackendGauges(obs::Registry& registry, std::string_view model,
                      const std::function<backend::Stats()>& stats);

std::string_view FinishReasonName(backend::FinishReason reason);  // "stop", "length", …

}  // namespace pelton::serving
