#include "serving/prep_pool.h"

#include <fmt/core.h>

#include "base/thread.h"

namespace pelton::serving {

PrepPool::PrepPool(int threads, int queue_max) : queue_(static_cast<size_t>(queue_max)) {
  for (int i = 0; i < threads; ++i) {
    threads_.push_back(StartThread(fmt::format("prep-{}", i), [this](std::stop_token) {
      while (auto task = queue_.Pop()) (*task)();
    }));
  }
}

PrepPool::~PrepPool() {
  queue_.Close();
  threads_.clear();
}

bool PrepPool::TryRun(std::function<void()> task) { return queue_.TryPush(std::move(task)); }

}  // namespace pelton::serving
