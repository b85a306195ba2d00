#include "engine/inbox.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace pelton::engine {

namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kRetryMinMs = 100;
constexpr int64_t kRetryMaxMs = 30'000;
constexpr int64_t kRetryUnknownMs = 1'000;  // nothing has finished yet

}  // namespace

Status Inbox::Put(std::unique_ptr<Sequence> sequence) {
  const RequestId id = sequence->request.id;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      ++refused_;
      return Unavailable("the engine is draining: it finishes what runs and takes nothing new")
          .WithRetryAfter(kRetryUnknownMs);
    }
    if (static_cast<int>(alive_.size()) >= alive_max_) {
      ++refused_;
      const int64_t ms = finish_interval_ns_ == 0 ? kRetryUnknownMs : finish_interval_ns_ / kMs;
      return ResourceExhausted(fmt::format("{} requests are running or queued, the most allowed",
                                           alive_.size()))
          .WithRetryAfter(std::clamp(ms, kRetryMinMs, kRetryMaxMs));
    }
    if (!alive_.try_emplace(id).second) {
      return InvalidArgument(fmt::format("request id {} is in use", id)).WithParam("id");
    }
    if (alive_.size() == 1) last_finish_ns_ = clock_.NowNs();  // idle time is no finishing pace
    mail_.arrivals.push_back(std::move(sequence));
  }
  ready_.notify_one();
  return OkStatus();
}

void Inbox::Cancel(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = alive_.find(id);
    if (at == alive_.end() || std::exchange(at->second.cancel_sent, true)) return;
    mail_.cancels.push_back(id);
  }
  ready_.notify_one();
}

void Inbox::Resume(RequestId id) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = alive_.find(id);
    if (at == alive_.end() || std::exchange(at->second.resume_sent, true)) return;
    mail_.resumes.push_back(id);
  }
  ready_.notify_one();
}

void Inbox::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void Inbox::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  ready_.notify_one();
}

bool Inbox::HasMailLocked() const {
  return woken_ || !mail_.arrivals.empty() || !mail_.cancels.empty() || !mail_.resumes.empty();
}

void Inbox::Drain(int64_t wait_ns, Mail* mail) {
  mail->arrivals.clear();
  mail->cancels.clear();
  mail->resumes.clear();
  std::unique_lock lock(mutex_);
  if (wait_ns > 0) {
    ready_.wait_for(lock, std::chrono::nanoseconds(wait_ns), [&] { return HasMailLocked(); });
  }
  woken_ = false;
  std::swap(*mail, mail_);
  for (const RequestId id : mail->resumes) {
    const auto at = alive_.find(id);
    if (at != alive_.end()) at->second.resume_sent = false;
  }
}

void Inbox::Forget(RequestId id) {
  const std::lock_guard lock(mutex_);
  if (alive_.erase(id) == 0) return;
  const int64_t now_ns = clock_.NowNs();
  const int64_t interval_ns = now_ns - std::exchange(last_finish_ns_, now_ns);
  finish_interval_ns_ =
      finish_interval_ns_ == 0 ? interval_ns : (7 * finish_interval_ns_ + interval_ns) / 8;
}

int Inbox::alive() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(alive_.size());
}

uint64_t Inbox::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

}  // namespace pelton::engine
