// The pump: one thread that takes what backends generate to the answers under way, so that neither
// a backend's thread nor an io thread formats JSON. A backend's step wakes it at most once.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "backend/backend.h"

namespace pelton::serving {

class Generation;

class Pump {  // thread-safe
 public:
  Pump();
  ~Pump();  // stops the thread; what is queued is dropped

  // The order of one generation's deltas is kept. Bounded by Generation (kPendingMax).
  void Post(std::shared_ptr<Generation> generation, int index, backend::Delta&& delta);
  // Generation::Tick is called every kTickMs until the generation is gone or done.
  void Watch(std::weak_ptr<Generation> generation);

  // Cancels every generation under way, soon.
  void CancelAll();

  static constexpr int kTickMs = 250;

 private:
  struct Item {
    std::shared_ptr<Generation> generation;
    int index = 0;
    backend::Delta delta;
    int64_t at_ns = 0;
  };
  void Loop(const std::stop_token& stop);
  void Tick();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> items_;                          // guarded by mutex_
  std::vector<std::weak_ptr<Generation>> arrivals_;  // guarded by mutex_
  bool asleep_ = false;                              // guarded by mutex_
  bool cancel_all_ = false;                          // guarded by mutex_
  std::vector<std::weak_ptr<Generation>> watched_;   // owned by the thread
  std::jthread thread_;
};

}  // namespace pelton::serving
