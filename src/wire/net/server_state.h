// What all connections of a server share: counters, the drain flag, the options. Outlives every
// connection and every exchange (they hold it by shared_ptr). Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "net/http.h"

namespace pelton::net {

class ServerState {
 public:
  explicit ServerState(const ServerOptions& options) : options_(options) {}

  const ServerOptions& options() const { return options_; }

  std::atomic<int64_t> connections{0};
  std::atomic<uint64_t> accepted{0};
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> protocol_errors{0};
  std::atomic<uint64_t> timeouts{0};
  std::atomic<uint64_t> body_bytes{0};   // of bodies being read or held by an exchange
  std::atomic<bool> draining{false};

  void ExchangeBegan() {
    const std::lock_guard lock(mutex_);
    ++exchanges_;
  }
  void ExchangeEnded() {
    const std::lock_guard lock(mutex_);
    if (--exchanges_ == 0) idle_.notify_all();
  }
  bool WaitIdle(int timeout_ms) {
    std::unique_lock lock(mutex_);
    return idle_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                          [this] { return exchanges_ == 0; });
  }

 private:
  const ServerOptions options_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int64_t exchanges_ = 0;  // guarded by mutex_
};

}  // namespace pelton::net
