// A sink for tests: keeps what it hears and checks the contract (one finish, nothing after it).
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace pelton::engine::testing {

class RecordingSink final : public DeltaSink {  // thread-safe
 public:
  // `on_delta` (may be empty) sees each delta before it is recorded and says how to go on.
  explicit RecordingSink(std::function<Flow(const Delta&)> on_delta = {})
      : on_delta_(std::move(on_delta)) {}

  Flow OnDelta(Delta&& delta) override {
    const Flow flow = on_delta_ ? on_delta_(delta) : Flow::kContinue;
    const std::lock_guard lock(mutex_);
    if (finish_) broken_ = true;
    ++deltas_;
    text_ += delta.text;
    for (TokenOut& token : delta.tokens) tokens_.push_back(std::move(token));
    usage_ = delta.usage;
    stop_match_ = delta.stop_match;
    error_ = delta.error;
    finish_ = delta.finish;
    changed_.notify_all();
    return flow;
  }

  bool WaitForFinish(int seconds = 30) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(seconds), [&] { return finish_.has_value(); });
  }
  bool WaitForTokens(size_t count, int seconds = 30) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(seconds),
                             [&] { return tokens_.size() >= count; });
  }

  std::optional<FinishReason> finish() const { return Locked(finish_); }
  std::string text() const { return Locked(text_); }
  std::vector<TokenOut> tokens() const { return Locked(tokens_); }
  std::vector<text::TokenId> ids() const {
    std::vector<text::TokenId> ids;
    for (const TokenOut& token : tokens()) ids.push_back(token.id);
    return ids;
  }
  Usage usage() const { return Locked(usage_); }
  std::string stop_match() const { return Locked(stop_match_); }
  Status error() const { return Locked(error_); }
  int deltas() const { return Locked(deltas_); }
  bool broken() const { return Locked(broken_); }  // heard something after the finish

 private:
  template <typename T>
  T Locked(const T& value) const {
    const std::lock_guard lock(mutex_);
    return value;
  }

  const std::function<Flow(const Delta&)> on_delta_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All below guarded by mutex_.
  std::string text_;
  std::vector<TokenOut> tokens_;
  Usage usage_;
  std::string stop_match_;
  Status error_;
  std::optional<FinishReason> finish_;
  int deltas_ = 0;
  bool broken_ = false;
};

}  // namespace pelton::engine::testing
