// pelton-load: concurrent streams of completions from a server, and what a client sees of them.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <span>

#include "load/plan.h"
#include "load/runner.h"
#include "load/summary.h"

namespace pelton::load {
namespace {

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Status Run(const Options& options, bool* failed) {
  const auto plan = Plan::Make(options);
  if (!plan.ok()) return plan.status();
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const double before = CpuSeconds();
  const auto records = RunPlan(*plan, [&](int done, int total) {
    if (terminal)
      fmt::print(stderr, "\r{} of {} requests{}", done, total, done == total ? "\n" : "");
  });
  if (!records.ok()) return records.status();
  const Summary summary = Summarise(*records, options.together, CpuSeconds() - before);
  fmt::print("{}{}", options.json ? SummaryJson(options, summary) : SummaryText(options, summary),
             options.json ? "\n" : "");
  *failed = summary.failed > 0;
  return OkStatus();
}

int Main(std::span<const char* const> arguments) {
  const auto options = ParseArguments(arguments);
  if (options.ok() && options->help) {
    fmt::print("{}", HelpText());
    return 0;
  }
  bool failed = false;
  const Status status = options.ok() ? Run(*options, &failed) : options.status();
  if (!status.ok()) fmt::print(stderr, "pelton-load: {}\n", status.message());
  return status.ok() ? (failed ? 1 : 0) : options.ok() ? 1 : 2;
}

}  // namespace
}  // namespace pelton::load

int main(int argc, char** argv) {
  return pelton::load::Main(std::span(argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0)));
}
