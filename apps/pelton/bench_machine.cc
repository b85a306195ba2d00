#include "bench_machine.h"

#include <fmt/core.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/cpu.h"
#include "codec/json_write.h"
#include "nn/team.h"
#include "roofline/roofline.h"

namespace pelton::app {
namespace {

struct Machine {
  int threads = 1;
  std::vector<roofline::ReadSpeed> reads;
  std::vector<roofline::MultiplySpeed> multiplies;
  double region_us = 0;  // a parallel region in which all threads of the worker team meet
};

// The best of many batches. Each piece waits for all the others, so that every thread has to take
// one.
double ParallelRegionUs(int threads) {
  constexpr int kBatches = 200;
  constexpr int kRegions = 100;  // a batch
  constexpr int kSpins = 5000;   // before a waiting piece lets others run
  std::atomic<int> arrived{0};
  nn::Team team({.threads = threads});
  const nn::Team::Turn turn(team);
  int64_t best_ns = std::numeric_limits<int64_t>::max();
  for (int batch = 0; batch < kBatches; ++batch) {
    const int64_t start_ns = NowNs();
    for (int i = 0; i < kRegions; ++i) {
      arrived.store(0, std::memory_order_relaxed);
      team.ParallelFor(threads, 1, [&](int64_t begin, int64_t end, int) {
        arrived.fetch_add(static_cast<int>(end - begin), std::memory_order_acq_rel);
        for (int spins = 0; arrived.load(std::memory_order_acquire) < threads; ++spins) {
          if (spins > kSpins) sched_yield();
        }
      });
    }
    best_ns = std::min(best_ns, NowNs() - start_ns);
  }
  return static_cast<double>(best_ns) * 1e-3 / kRegions;
}

std::string Size(size_t bytes) {
  return bytes >= (size_t{1} << 30) ? fmt::format("{} GiB", bytes >> 30)
                                    : fmt::format("{} MiB", bytes >> 20);
}

void PrintTable(const Machine& machine) {
  fmt::print("{}, {} threads; the best of many tries\n\n", CpuModelName(), machine.threads);
  fmt::print("{:<28}{:>10}{:>14}\n", "read, GB/s", "1 thread",
             fmt::format("{} threads", machine.threads));
  for (const auto& one : machine.reads) {
    if (one.threads != 1) continue;
    std::string all;
    for (const auto& other : machine.reads) {
      if (other.bytes == one.bytes && other.huge_pages == one.huge_pages && other.threads > 1) {
        all = fmt::format("{:.1f}", other.bytes_per_s * 1e-9);
      }
    }
    fmt::print("{:<28}{:>10.1f}{:>14}\n",
               fmt::format("{}, {} pages", Size(one.bytes), one.huge_pages ? "huge" : "4 KiB"),
               one.bytes_per_s * 1e-9, all);
  }
  fmt::print("\n{:<28}{:>10}{:>14}\n", "multiply and add, Gop/s", "1 thread",
             fmt::format("{} threads", machine.threads));
  for (const auto& one : machine.multiplies) {
    if (one.threads != 1) continue;
    std::string all;
    for (const auto& other : machine.multiplies) {
      if (other.name == one.name && other.threads > 1)
        all = fmt::format("{:.0f}", other.ops_per_s * 1e-9);
    }
    fmt::print("{:<28}{:>10.0f}{:>14}\n", one.what, one.ops_per_s * 1e-9, all);
  }
  fmt::print("\nparallel region in which {} threads meet: {:.2f} us\n", machine.threads,
             machine.region_us);
}

void PrintJson(const Machine& machine) {
  std::string text;
  codec::JsonWriter json(&text);
  json.Object().Key("cpu").Value(CpuModelName()).Key("threads").Value(machine.threads);
  json.Key("read").Array();
  for (const auto& speed : machine.reads) {
    json.Object()
        .Key("bytes")
        .Value(speed.bytes)
        .Key("pages")
        .Value(speed.huge_pages ? "huge" : "4k");
    json.Key("threads").Value(speed.threads).Key("bytes_per_s").Value(speed.bytes_per_s).End();
  }
  json.End().Key("multiply").Array();
  for (const auto& speed : machine.multiplies) {
    json.Object().Key("name").Value(speed.name).Key("what").Value(speed.what);
    json.Key("threads").Value(speed.threads).Key("ops_per_s").Value(speed.ops_per_s).End();
  }
  json.End().Key("parallel_region_us").Value(machine.region_us).End();
  fmt::print("{}\n", text);
}

}  // namespace

Status RunMachineBench(int threads, bool json) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  Machine machine;
  machine.threads = threads > 0 ? threads : ComputeThreadBudget();
  const roofline::Options options{.threads = machine.threads,
                                  .seconds = 0.3,
                                  .bytes_max = size_t{1} << 30,
                                  .progress = [&](std::string_view what) {
                                    if (terminal) fmt::print(stderr, "\r{:<40}", what);
                                  }};
  machine.reads = roofline::MeasureReads(options);
  machine.multiplies = roofline::MeasureMultiplies(options);
  machine.region_us = ParallelRegionUs(machine.threads);
  if (terminal) fmt::print(stderr, "\r{:<40}\r", "");
  if (json) PrintJson(machine);
  else PrintTable(machine);
  return OkStatus();
}

}  // namespace pelton::app
