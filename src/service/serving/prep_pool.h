// The prep pool: threads for what a request costs before the backend sees it (reading JSON,
// template, tokens), so that io threads never compute.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"

namespace pelton::serving {

class PrepPool {  // thread-safe
 public:
  PrepPool(int threads, int queue_max);
  ~PrepPool();  // runs what is queued, then joins

  // False when the queue is full; the task then never runs.
  bool TryRun(std::function<void()> task);
  size_t queued() const { return queue_.size(); }

 private:
  BoundedQueue<std::function<void()>> queue_;
  std::vector<std::jthread> threads_;
};

}  // namespace pelton::serving
