// Parts that both halves of the catalogue share; of no use to others.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "serving/catalogue.h"

namespace pelton::serving {

// Models that the last user has let go of, and the bell for Fleet's loading thread. Requests that
// outlive the catalogue find it still there. Its lock is the innermost: the last user may be any
// thread, in the middle of anything.
struct Catalogue::Retired {
  ~Retired() {
    for (const auto& [index, served] : items) delete served;
  }
  void Add(size_t index, const Served* served) {
    {
      const std::lock_guard lock(mutex);
      items.emplace_back(index, served);
    }
    bell.notify_all();
  }
  void Wake() {
    {
      const std::lock_guard lock(mutex);
      woken = true;
    }
    bell.notify_all();
  }

  std::mutex mutex;
  std::condition_variable_any bell;
  std::vector<std::pair<size_t, const Served*>> items;  // guarded by mutex
  bool woken = false;                                   // guarded by mutex
};

// Figures that only grow, so that they go on when another instance takes over.
inline constexpr uint64_t backend::Stats::*kCounters[] = {
    &backend::Stats::steps,
    &backend::Stats::prompt_tokens,
    &backend::Stats::generated_tokens,
    &backend::Stats::preemptions,
    &backend::Stats::computed_tokens,
    &backend::Stats::prefix_queried_tokens,
    &backend::Stats::prefix_hit_tokens,
    &backend::Stats::prefix_evictions,
    &backend::Stats::drafts,
    &backend::Stats::draft_tokens,
    &backend::Stats::accepted_draft_tokens,
    &backend::Stats::decode_rows,
    &backend::Stats::prompt_rows,
};
inline void AddCounters(const backend::Stats& more, backend::Stats* to) {
  for (const auto counter : kCounters) to->*counter += more.*counter;
}
inline void SubtractCounters(const backend::Stats& less, backend::Stats* from) {
  for (const auto counter : kCounters) from->*counter -= less.*counter;
}

}  // namespace pelton::serving
