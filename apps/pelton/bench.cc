// `pelton bench`: tokens a second of the bare model, without HTTP: prefill, then decoding with one
// or more streams; or the machine's limits. Interleaves nothing and judges nothing; bench/peers
// pairs it with other engines.
#include <fmt/core.h>

#include <memory>
#include <vector>

#include "base/cpu.h"
#include "bench_machine.h"
#include "bench_report.h"
#include "bench_run.h"
#include "commands.h"
#include "local_model.h"
#include "paths.h"

namespace pelton::app {
namespace {

constexpr int kDepthMax = 131072;
constexpr int kStreamsMax = 1024;

struct BenchOptions {
  std::string model;
  std::string state_dir;
  bool machine = false;
  int prompt = 512;
  int generate = 64;
  std::string depth = "0";
  std::string streams = "1";
  int repeats = 3;
  int threads = 0;
  int chunk = 512;
  std::string batch_invariant = "auto";
  bool shares = false;
  bool json = false;

  template <typename V>
  void Fields(V& v) {
    v.Field("model", model, {.help = "Model file.", .value_name = "FILE"});
    v.Field("state-dir", state_dir, {.help = "Where pulled models are.", .value_name = "DIR"});
    v.Field("machine", machine, {.help = "Measure what this machine can read and multiply at best, "
                                         "no model."});
    v.Field("prompt", prompt, {.help = "Tokens of the prefill measurement; 0 leaves it out.",
                               .min = 0, .max = kDepthMax});
    v.Field("generate", generate, {.help = "Tokens each stream decodes; 0 leaves it out.", .min = 0,
                                   .max = 65536});
    v.Field("depth", depth, {.help = "Tokens already in the context when a measurement starts; "
                                     "several runs by commas.",
                             .value_name = "N[,N…]"});
    v.Field("streams", streams, {.help = "Streams decoding at once; several runs by commas.",
                                 .value_name = "N[,N…]"});
    v.Field("repeats", repeats, {.help = "Runs of each measurement; the median is shown.", .min = 1,
                                 .max = 1000});
    v.Field("threads", threads, {.help = "Compute threads; 0: by affinity and quota.", .min = 0,
                                 .max = 1024});
    v.Field("chunk", chunk, {.help = "Rows of one prefill step.", .min = 1, .max = 8192});
    v.Field("batch-invariant", batch_invariant,
            {.help = "As of serve.", .choices = {"auto", "on", "off"}});
    v.Field("shares", shares,
            {.help = "Also measure the machine's limits, and give each row's share "
                     "of them."});
    v.Field("json", json, {.help = "Print one JSON object."});
  }
};

Status RunBench(const BenchOptions& options) {
  if (options.machine) return RunMachineBench(options.threads, options.json);
  const auto streams = ParseNumbers("--streams", options.streams, 1, kStreamsMax);
  if (!streams.ok()) return streams.status();
  const auto depths = ParseNumbers("--depth", options.depth, 0, kDepthMax);
  if (!depths.ok()) return depths.status();
  const BenchPlan plan{.prompt = options.prompt, .generate = options.generate, .depths = *depths,
                       .streams = *streams, .repeats = options.repeats, .chunk = options.chunk};
  auto path = ResolveModel(options.model, options.state_dir);
  if (!path.ok()) return path.status();
  auto local = LoadLocalModel(*path, options.threads, options.batch_invariant == "on");
  if (!local.ok()) return local.status();
  uint64_t kv_bytes = 0;
  const auto rows = RunBenchPlan(plan, *local, &kv_bytes);
  if (!rows.ok()) return rows.status();
  BenchReport report{.local = *local, .plan = plan, .rows = *rows, .cost = CostOf(*local),
                     .limits = {}, .kv_bytes = kv_bytes,
                     .resident_bytes = ReadMemoryState().resident_bytes};
  if (options.shares) report.limits = MeasureLimits(report.cost, local->team->size());
  if (options.json) PrintBenchJson(report);
  else PrintBenchTable(report);
  return OkStatus();
}

}  // namespace

config::Command BenchCommand() {
  auto options = std::make_shared<BenchOptions>();
  return {
      .name = "bench",
      .summary = "Measure prefill and decoding of a model on this machine, or the machine itself.",
      .arguments = "",
      .details = "pelton bench --model model.gguf --streams 1,8,32\npelton bench --machine",
      .arguments_max = 0,
      .hidden = false,
      .bind = [options](config::Binder& b) { options->Fields(b); },
      .run =
          [options](std::span<const std::string>) {
            const Status status = RunBench(*options);
            if (!status.ok()) fmt::print(stderr, "pelton: {}\n", status.message());
            return status.ok() ? 0 : 1;
          },
  };
}

}  // namespace pelton::app
