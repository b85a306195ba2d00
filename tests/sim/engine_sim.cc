// engine_sim [--first SEED] [--seeds N] [--verbose]: runs worlds SEED … SEED + N - 1; see README.md.
#include <fmt/core.h>

#include <charconv>
#include <cstdio>
#include <string_view>

#include "world.h"

namespace {

constexpr uint64_t kReplayEvery = 50;

bool ParseNumber(std::string_view text, uint64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

int Usage() {
  fmt::print(stderr, "usage: engine_sim [--first SEED] [--seeds N] [--verbose]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  using pelton::sim::Outcome;
  using pelton::sim::World;
  uint64_t first = 1;
  uint64_t seeds = 2000;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--verbose") {
      verbose = true;
      continue;
    }
    if (i + 1 == argc) return Usage();
    if (arg == "--first" && ParseNumber(argv[i + 1], &first)) {
      ++i;
    } else if (arg == "--seeds" && ParseNumber(argv[i + 1], &seeds)) {
      ++i;
    } else {
      return Usage();
    }
  }
  Outcome sum;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    Outcome outcome = World(seed, verbose).Run();
    if (outcome.violation.empty() && seed % kReplayEvery == 0 && !verbose &&
        World(seed, false).Run().digest != outcome.digest) {
      outcome.violation = "a second run of the same seed went another way";
    }
    if (!outcome.violation.empty()) {
      fmt::print("seed {}: {}\nreplay: engine_sim --first {} --seeds 1 --verbose\n", seed,
                 outcome.violation, seed);
      return 1;
    }
    sum.turns += outcome.turns;
    sum.requests += outcome.requests;
    sum.preemptions += outcome.preemptions;
    sum.cancelled += outcome.cancelled;
    sum.expired += outcome.expired;
    sum.refused += outcome.refused;
    sum.hit_tokens += outcome.hit_tokens;
    sum.evictions += outcome.evictions;
    sum.loaded_blocks += outcome.loaded_blocks;
    sum.restarts += outcome.restarts;
    sum.drafted += outcome.drafted;
    sum.accepted += outcome.accepted;
  }
  // Worlds in which nothing of a kind happened would show nothing.
  if (seeds >= 1000 && (sum.preemptions == 0 || sum.accepted == 0 || sum.accepted == sum.drafted)) {
    fmt::print("no preemptions, or no guesses right and wrong, in {} worlds\n", seeds);
    return 1;
  }
  fmt::print("{} worlds held: {} turns, {} requests ({} refused, {} cancelled, {} expired), {} "
             "preemptions, {} of {} guessed tokens right, {} tokens found, {} blocks evicted, "
             "{} read from disk, {} restarts\n",
             seeds, sum.turns, sum.requests, sum.refused, sum.cancelled, sum.expired,
             sum.preemptions, sum.accepted, sum.drafted, sum.hit_tokens, sum.evictions,
             sum.loaded_blocks, sum.restarts);
  return 0;
}
