// What `pelton bench` measures of a model: prefill and decoding by the engine's own step, with any
// number of streams and any depth of context, and what such a step costs in bytes and products.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "local_model.h"
#include "roofline/roofline.h"

namespace pelton::app {

struct BenchPlan {
  int prompt = 512;    // tokens; 0: no prefill row
  int generate = 64;   // tokens a stream; 0: no decode rows
  std::vector<int> depths = {0};
  std::vector<int> streams = {1};
  int repeats = 3;
  int chunk = 512;
};

struct BenchRow {
  bool prefill = false;
  int depth = 0;     // tokens in the context before
  int tokens = 0;    // of all streams, a repeat
  int streams = 1;
  std::vector<double> tokens_per_s;  // a repeat each

  std::string Name() const;
  double Median() const;
  double StepSeconds() const;  // decoding: one token of every stream
};

// Numbers in [low, high] with commas between. `option` is for the message.
Result<std::vector<int>> ParseNumbers(std::string_view option, const std::string& text, int low,
                                      int high);

Result<std::vector<BenchRow>> RunBenchPlan(const BenchPlan& plan, LocalModel& local,
                                           uint64_t* kv_bytes);

// What the model's steps have to read and multiply at least.
struct StepCost {
  uint64_t weight_bytes = 0;   // read by a step that samples: layers and output matrix
  double layer_ops = 0;  // of one token in the layers; a multiplication and an addition are two
  double head_ops = 0;         // of one token in the output matrix
  double kv_bytes_a_token = 0;  // of context, read by each later token

  double PrefillOps(const BenchRow& row) const {
    return layer_ops * row.tokens + head_ops * row.streams;
  }
  // Without sliding windows: an upper bound where a family has them.
  double KvBytes(const BenchRow& row) const;
};
StepCost CostOf(const LocalModel& local);

// The machine's limits that rows are set beside.
struct Limits {
  double read_bytes_per_s = 0;  // of as many bytes as the weights are; 0: not measured
  std::vector<roofline::MultiplySpeed> multiplies;  // by all threads
};
Limits MeasureLimits(const StepCost& cost, int threads);

}  // namespace pelton::app
