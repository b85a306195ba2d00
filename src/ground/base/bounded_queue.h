// A bounded queue between threads: any number of producers, one or more consumers, closable.
// Full is an answer (TryPush gives false), never a wait: the caller tells somebody.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace pelton {

template <typename T>
class BoundedQueue {  // thread-safe
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False when full or closed; `item` is then untouched.
  bool TryPush(T&& item) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return true;
  }

  // Waits until an item is there; nothing once closed and empty.
  std::optional<T> Pop() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return closed_ || !items_.empty(); });
    return TakeLocked();
  }

  std::optional<T> TryPop() {
    const std::lock_guard lock(mutex_);
    return TakeLocked();
  }

  // Moves everything that is there into `out`, waiting up to `wait` for the first item.
  // Returns false once closed and empty.
  bool Drain(std::vector<T>* out, std::chrono::nanoseconds wait) {
    std::unique_lock lock(mutex_);
    if (wait.count() > 0) {
      ready_.wait_for(lock, wait, [&] { return closed_ || !items_.empty(); });
    }
    while (!items_.empty()) out->push_back(*TakeLocked());
    return !closed_ || !out->empty();
  }

  void Close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }
  size_t capacity() const { return capacity_; }

 private:
  std::optional<T> TakeLocked() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  const size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;   // guarded by mutex_
  bool closed_ = false;   // guarded by mutex_
};

}  // namespace pelton
