// What the records say together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "load/plan.h"
#include "load/runner.h"

namespace pelton::load {

struct Quantiles {  // nearest rank; zeros when there is nothing
  double p50 = 0, p95 = 0, p99 = 0, max = 0;
};
Quantiles QuantilesOf(std::vector<double> values);

struct Summary {
  int requests = 0;
  int failed = 0;
  std::vector<std::string> errors;  // the first few that differ
  int uncounted = 0;                // requests whose server gave no usage: events were counted
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  double seconds = 0;               // from the first byte sent to the last event, without pauses
  double tokens_per_s = 0;          // completion_tokens / seconds
  // While every stream decodes, a round: from the last first token to the first last one. Empty
  // when no round has such a time.
  std::vector<double> decode_tokens_per_s;
  std::vector<double> prefill_tokens_per_s;  // a round: prompts / time until all have a first token
  Quantiles ttft_ms;
  Quantiles gap_ms;  // between events that carry text
  double events_per_token = 0;
  double cpu_share = 0;  // CPUs that this program took

  std::optional<double> MedianDecode() const;
  std::optional<double> MedianPrefill() const;
};

// `together`: the records of one round belong together; otherwise all do. `cpu_seconds`: of this
// process during the run.
Summary Summarise(std::span<const Record> records, bool together, double cpu_seconds);

std::string SummaryText(const Options& options, const Summary& summary);
std::string SummaryJson(const Options& options, const Summary& summary);

}  // namespace pelton::load
