// How `pelton bench` shows what it measured.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bench_run.h"
#include "local_model.h"

namespace pelton::app {

struct BenchReport {
  const LocalModel& local;
  const BenchPlan& plan;
  const std::vector<BenchRow>& rows;
  StepCost cost;
  std::optional<Limits> limits;
  uint64_t kv_bytes = 0;        // of the largest row
  uint64_t resident_bytes = 0;  // of the process at its end
};

void PrintBenchTable(const BenchReport& report);
void PrintBenchJson(const BenchReport& report);

}  // namespace pelton::app
