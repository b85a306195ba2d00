#include "serving/admission.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace pelton::serving {
namespace {

constexpr double kSmoothing = 0.1;        // weight of the newest gap
constexpr double kGapMaxS = 60;           // an idle hour says nothing about load
constexpr int64_t kRetryMinMs = 1000;
constexpr int64_t kRetryMaxMs = 60'000;

}  // namespace

Ticket& Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  Release();
  admission_ = std::exchange(other.admission_, nullptr);
  tenant_ = std::move(other.tenant_);
  sequences_ = other.sequences_;
  tokens_ = other.tokens_;
  return *this;
}

void Ticket::Release() {
  if (admission_ == nullptr) return;
  std::exchange(admission_, nullptr)->GiveBack(tenant_, sequences_, tokens_);
}

Result<Ticket> Admission::Admit(const std::string& tenant, int sequences, int64_t tokens) {
  const std::lock_guard lock(mutex_);
  if (closed_) return Unavailable("the server is shutting down").WithRetryAfter(kRetryMinMs);
  const bool full = total_.sequences + sequences > options_.sequences_max ||
                    total_.tokens + tokens > options_.tokens_max;
  // A request larger than the whole house must still be served when the house is empty of tokens.
  const bool alone = total_.sequences == 0 && sequences <= options_.sequences_max;
  if (full && !alone) {
    return ResourceExhausted(
               fmt::format("the server is full ({} sequences with {} prompt tokens are inside)",
                           total_.sequences, total_.tokens))
        .WithRetryAfter(RetryAfterMsLocked(sequences));
  }
  const auto held_it = tenants_.find(tenant);
  const Held held = held_it == tenants_.end() ? Held{} : held_it->second;
  const bool others = total_.sequences > held.sequences;
  const double share = options_.tenant_share;
  if (others && held.sequences > 0 &&
      (held.sequences + sequences > share * options_.sequences_max ||
       static_cast<double>(held.tokens + tokens) >
           share * static_cast<double>(options_.tokens_max))) {
    return ResourceExhausted("this tenant holds its share of the server; others are waiting too")
        .WithRetryAfter(RetryAfterMsLocked(sequences));
  }
  total_.sequences += sequences;
  total_.tokens += tokens;
  Held& mine = tenants_[tenant];
  mine.sequences += sequences;
  mine.tokens += tokens;
  Ticket ticket;
  ticket.admission_ = this;
  ticket.tenant_ = tenant;
  ticket.sequences_ = sequences;
  ticket.tokens_ = tokens;
  return ticket;
}

void Admission::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

int Admission::sequences() const {
  const std::lock_guard lock(mutex_);
  return total_.sequences;
}

int64_t Admission::tokens() const {
  const std::lock_guard lock(mutex_);
  return total_.tokens;
}

void Admission::GiveBack(const std::string& tenant, int sequences, int64_t tokens) {
  const std::lock_guard lock(mutex_);
  total_.sequences -= sequences;
  total_.tokens -= tokens;
  const auto it = tenants_.find(tenant);
  if (!BUG_IF(it == tenants_.end(), "a ticket of a tenant that holds nothing")) {
    it->second.sequences -= sequences;
    it->second.tokens -= tokens;
    if (it->second.sequences == 0) tenants_.erase(it);
  }
  const int64_t now_ns = clock_.NowNs();
  if (last_leave_ns_ != 0) {
    const double gap_s = std::min(kGapMaxS, static_cast<double>(now_ns - last_leave_ns_) * 1e-9);
    gap_s_ += kSmoothing * (gap_s / std::max(1, sequences) - gap_s_);
  }
  last_leave_ns_ = now_ns;
}

int64_t Admission::RetryAfterMsLocked(int sequences) const {
  const auto ms = static_cast<int64_t>(gap_s_ * 1000 * std::max(1, sequences));
  return std::clamp(ms, kRetryMinMs, kRetryMaxMs);
}

}  // namespace pelton::serving
