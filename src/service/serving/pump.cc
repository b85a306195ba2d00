#include "serving/pump.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/thread.h"
#include "serving/generation.h"

namespace pelton::serving {

Pump::Pump() {
  thread_ = StartThread("pump", [this](std::stop_token stop) { Loop(stop); });
}

Pump::~Pump() {
  thread_.request_stop();
  {
    const std::lock_guard lock(mutex_);  // the loop is either before its wait or inside it
  }
  wake_.notify_all();
  thread_.join();
}

void Pump::Post(std::shared_ptr<Generation> generation, int index, backend::Delta&& delta) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    items_.push_back({std::move(generation), index, std::move(delta), NowNs()});
    wake = std::exchange(asleep_, false);
  }
  if (wake) wake_.notify_one();
}

void Pump::Watch(std::weak_ptr<Generation> generation) {
  const std::lock_guard lock(mutex_);
  arrivals_.push_back(std::move(generation));
}

void Pump::CancelAll() {
  const std::lock_guard lock(mutex_);
  cancel_all_ = true;
}

void Pump::Loop(const std::stop_token& stop) {
  std::vector<Item> batch;
  auto next_tick = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTickMs);
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      asleep_ = items_.empty();
      wake_.wait_until(lock, next_tick, [&] { return !items_.empty() || stop.stop_requested(); });
      asleep_ = false;
      batch.swap(items_);
      for (auto& arrival : arrivals_) watched_.push_back(std::move(arrival));
      arrivals_.clear();
    }
    for (Item& item : batch) {
      item.generation->Deliver(item.index, std::move(item.delta), item.at_ns);
    }
    batch.clear();
    if (std::chrono::steady_clock::now() >= next_tick) {
      Tick();
      next_tick = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTickMs);
    }
  }
}

void Pump::Tick() {
  const int64_t now_ns = NowNs();
  bool cancel_all = false;
  {
    const std::lock_guard lock(mutex_);
    cancel_all = std::exchange(cancel_all_, false);
  }
  std::erase_if(watched_, [&](const std::weak_ptr<Generation>& weak) {
    const std::shared_ptr<Generation> generation = weak.lock();
    if (generation != nullptr && cancel_all) generation->Cancel();
    return generation == nullptr || !generation->Tick(now_ns);
  });
}

}  // namespace pelton::serving
