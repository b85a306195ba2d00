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
constexpr double kRateFadeS = 5;          // how fast old measurements of the rate fade
constexpr double kRateMinS = 0.05;        // measured for less, the rate is not known
// Of a model's places one tenant leaves so many to others, when there are others.
constexpr int kReservedPart = 8;

}  // namespace

Ticket& Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  Release();
  admission_ = std::exchange(other.admission_, nullptr);
  ask_ = std::move(other.ask_);
  queued_ = std::exchange(other.queued_, 0);
  return *this;
}

void Ticket::Release() {
  if (admission_ == nullptr) return;
  Admission& admission = *std::exchange(admission_, nullptr);
  const std::lock_guard lock(admission.mutex_);
  admission.ReturnLocked(ask_, queued_);
  admission.MeasureLeavingLocked(ask_.sequences);
}

Status Ticket::Settle(int64_t prompt_tokens, int64_t kv_tokens) {
  if (admission_ == nullptr) return OkStatus();
  Admission& admission = *std::exchange(admission_, nullptr);
  const std::lock_guard lock(admission.mutex_);
  const bool more = prompt_tokens > ask_.prompt_tokens || kv_tokens > ask_.kv_tokens;
  admission.ReturnLocked(ask_, queued_);
  ask_.prompt_tokens = prompt_tokens;
  ask_.kv_tokens = kv_tokens;
  if (more) RETURN_IF_ERROR(admission.CheckLocked(ask_));
  admission.TakeLocked(ask_);
  admission_ = &admission;
  queued_ = prompt_tokens;
  return OkStatus();
}

void Ticket::Started(int64_t prompt_tokens) {
  if (admission_ == nullptr) return;
  const int64_t tokens = std::min(queued_, prompt_tokens);
  queued_ -= tokens;
  const std::lock_guard lock(admission_->mutex_);
  admission_->UnqueueLocked(ask_, tokens, /*served=*/true);
}

Result<Ticket> Admission::Admit(Ask ask) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(CheckLocked(ask));
  TakeLocked(ask);
  Ticket ticket;
  ticket.admission_ = this;
  ticket.queued_ = ask.prompt_tokens;
  ticket.ask_ = std::move(ask);
  return ticket;
}

Status Admission::CheckLocked(const Ask& ask) {
  if (closed_) return Unavailable("the server is shutting down").WithRetryAfter(kRetryMinMs);
  const double gap_s = gap_s_ * std::max(1, ask.sequences);
  const bool full = total_.sequences + ask.sequences > options_.sequences_max ||
                    total_.tokens + ask.prompt_tokens > options_.tokens_max;
  // A request larger than the whole house must still be served when the house is empty of tokens.
  const bool alone = total_.sequences == 0 && ask.sequences <= options_.sequences_max;
  if (full && !alone) {
    return RefuseLocked(fmt::format("the server is full ({} sequences with {} prompt tokens are "
                                    "inside)", total_.sequences, total_.tokens),
                        gap_s);
  }
  const auto held_it = tenants_.find(ask.tenant);
  const Held held = held_it == tenants_.end() ? Held{} : held_it->second;
  const bool others = total_.sequences > held.sequences;
  const double share = options_.tenant_share;
  if (others && held.sequences > 0 &&
      (held.sequences + ask.sequences > share * options_.sequences_max ||
       static_cast<double>(held.tokens + ask.prompt_tokens) >
           share * static_cast<double>(options_.tokens_max))) {
    return RefuseLocked("this tenant holds its share of the server; others are waiting too", gap_s);
  }
  return CheckModelLocked(ask, models_[ask.model]);
}

Status Admission::CheckModelLocked(const Ask& ask, Model& model) {
  if (model.sequences == 0) return OkStatus();
  const double gap_s = gap_s_ * std::max(1, ask.sequences);
  if (ask.sequences_max > 0) {
    if (model.sequences + ask.sequences > ask.sequences_max) {
      return RefuseLocked(fmt::format("the model is full ({} sequences run or wait, the most "
                                      "allowed is {})", model.sequences, ask.sequences_max),
                          gap_s);
    }
    const auto mine = model.tenants.find(ask.tenant);
    const int held = mine == model.tenants.end() ? 0 : mine->second;
    const int reserved = options_.several_tenants ? ask.sequences_max / kReservedPart : 0;
    if (held + ask.sequences > ask.sequences_max - reserved) {
      return RefuseLocked(fmt::format("this tenant has {} sequences in the model; the places left "
                                      "are kept for others", held),
                          gap_s);
    }
  }
  const double kv_max = options_.kv_times_max * static_cast<double>(ask.kv_tokens_max);
  if (kv_max > 0 && static_cast<double>(model.kv_tokens + ask.kv_tokens) > kv_max) {
    return RefuseLocked(fmt::format("the model has work for {} tokens inside, {} times what its KV "
                                    "cache holds", model.kv_tokens,
                                    model.kv_tokens / std::max<int64_t>(1, ask.kv_tokens_max)),
                        gap_s);
  }
  const double rate = RateOf(model);
  if (rate <= 0 || ask.urgent) return OkStatus();
  const double wait_s = AheadOf(ask, model) / rate;
  if (options_.queue_s_max > 0 && wait_s > options_.queue_s_max) {
    return RefuseLocked(fmt::format("the queue would take {:.0f} s, longer than the {:.0f} s for "
                                    "which requests are let in", wait_s, options_.queue_s_max),
                        wait_s - options_.queue_s_max);
  }
  const double left_s = static_cast<double>(ask.deadline_ns - clock_.NowNs()) * 1e-9;
  if (ask.deadline_ns != 0 && wait_s > left_s) {
    return RefuseLocked(fmt::format("the queue would take {:.1f} s, and the request's timeout "
                                    "leaves {:.1f} s", wait_s, std::max(0., left_s)),
                        wait_s - left_s);
  }
  return OkStatus();
}

void Admission::TakeLocked(const Ask& ask) {
  total_.sequences += ask.sequences;
  total_.tokens += ask.prompt_tokens;
  Held& mine = tenants_[ask.tenant];
  mine.sequences += ask.sequences;
  mine.tokens += ask.prompt_tokens;
  Model& model = models_[ask.model];
  model.sequences += ask.sequences;
  model.kv_tokens += ask.kv_tokens;
  model.tenants[ask.tenant] += ask.sequences;
  if (ask.prompt_tokens == 0) return;
  if (model.queued == 0) model.rate_seen_ns = clock_.NowNs();
  model.queued += ask.prompt_tokens;
  Waiting& queue = model.queues[ask.tenant];
  queue.tokens += ask.prompt_tokens;
  queue.weight = ask.weight;
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

uint64_t Admission::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

double Admission::PromptRate(const std::string& model) const {
  const std::lock_guard lock(mutex_);
  const auto at = models_.find(model);
  return at == models_.end() ? 0 : RateOf(at->second);
}

int64_t Admission::queued_tokens(const std::string& model) const {
  const std::lock_guard lock(mutex_);
  const auto at = models_.find(model);
  return at == models_.end() ? 0 : at->second.queued;
}

double Admission::RateOf(const Model& model) {
  return model.rate_seconds < kRateMinS ? 0 : model.rate_tokens / model.rate_seconds;
}

// The engine serves tenants by weight: of the others' tokens at most so many go first as fit beside
// the tenant's own queue.
double Admission::AheadOf(const Ask& ask, const Model& model) {
  const auto mine = model.queues.find(ask.tenant);
  if (mine == model.queues.end()) return 0;
  double weights = 0;
  for (const auto& [tenant, queue] : model.queues) weights += queue.weight;
  const double fair = static_cast<double>(mine->second.tokens) * weights / mine->second.weight;
  return std::min(fair, static_cast<double>(model.queued));
}

void Admission::MeasureLocked(Model& model, int64_t tokens) {
  const int64_t now_ns = clock_.NowNs();
  const double dt_s =
      static_cast<double>(now_ns - std::exchange(model.rate_seen_ns, now_ns)) * 1e-9;
  const double fade = std::exp(-dt_s / kRateFadeS);
  model.rate_tokens = model.rate_tokens * fade + static_cast<double>(tokens);
  model.rate_seconds = model.rate_seconds * fade + dt_s;
}

void Admission::UnqueueLocked(const Ask& ask, int64_t tokens, bool served) {
  if (tokens == 0) return;
  Model& model = models_[ask.model];
  MeasureLocked(model, served ? tokens : 0);
  model.queued -= tokens;
  const auto queue = model.queues.find(ask.tenant);
  if (BUG_IF(queue == model.queues.end(), "a queue of a tenant that has none")) return;
  queue->second.tokens -= tokens;
  if (queue->second.tokens <= 0) model.queues.erase(queue);
}

void Admission::ReturnLocked(const Ask& ask, int64_t queued) {
  UnqueueLocked(ask, queued, /*served=*/false);
  total_.sequences -= ask.sequences;
  total_.tokens -= ask.prompt_tokens;
  Model& model = models_[ask.model];
  model.sequences -= ask.sequences;
  model.kv_tokens -= ask.kv_tokens;
  const auto mine = model.tenants.find(ask.tenant);
  if (mine != model.tenants.end() && (mine->second -= ask.sequences) == 0) {
    model.tenants.erase(mine);
  }
  const auto it = tenants_.find(ask.tenant);
  if (!BUG_IF(it == tenants_.end(), "a ticket of a tenant that holds nothing")) {
    it->second.sequences -= ask.sequences;
    it->second.tokens -= ask.prompt_tokens;
    if (it->second.sequences == 0) tenants_.erase(it);
  }
}

void Admission::MeasureLeavingLocked(int sequences) {
  const int64_t now_ns = clock_.NowNs();
  if (last_leave_ns_ != 0) {
    const double gap_s = std::min(kGapMaxS, static_cast<double>(now_ns - last_leave_ns_) * 1e-9);
    gap_s_ += kSmoothing * (gap_s / std::max(1, sequences) - gap_s_);
  }
  last_leave_ns_ = now_ns;
}

Status Admission::RefuseLocked(std::string why, double wait_s) {
  ++refused_;
  const double ms = std::clamp(wait_s * 1000, static_cast<double>(kRetryMinMs),
                               static_cast<double>(kRetryMaxMs));
  return ResourceExhausted(std::move(why)).WithRetryAfter(static_cast<int64_t>(ms));
}

}  // namespace pelton::serving
