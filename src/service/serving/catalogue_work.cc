// What Fleet does with the catalogue: loads to take and to finish, models to end, waiters to tell.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "serving/catalogue.h"
#include "serving/catalogue_retired.h"

namespace pelton::serving {
namespace {

constexpr int64_t kLateRetryMs = 10'000;

}  // namespace

Catalogue::After::~After() {
  released.clear();
  for (const auto& call : calls) call();
}

std::optional<LoadJob> Catalogue::TakeJob() {
  const std::lock_guard lock(mutex_);
  size_t best = entries_.size();
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = *entries_[i];
    if (!entry.job || entry.job->running || entry.state == ModelState::kDraining) continue;
    if (best == entries_.size() || entry.job->order < entries_[best]->job->order) best = i;
  }
  if (best == entries_.size()) return std::nullopt;
  Entry& entry = *entries_[best];
  entry.job->running = true;
  LoadJob job;
  job.index = best;
  job.name = entry.source.name;
  job.path = entry.job->path;
  // A swap that leaves the old one in place leaves all others in place too.
  job.may_evict = started_ && entry.state == ModelState::kLoading;
  job.progress = entry.job->progress;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (i != best && entries_[i]->in_memory == 0) job.others.push_back(entries_[i]->source.path);
  }
  return job;
}

void Catalogue::FinishJob(const LoadJob& done, Result<std::unique_ptr<backend::Backend>> opened) {
  After after;
  const std::lock_guard lock(mutex_);
  Entry& entry = *entries_[done.index];
  Job job = *std::move(entry.job);
  entry.job.reset();
  if (job.dropped) {
    CallAll(&job.done, {StatusCode::kAborted, "the model has been unloaded"}, &after);
    if (entry.state == ModelState::kLoading) {
      entry.state = ModelState::kUnloaded;
      CallAll(&entry.unloaded, OkStatus(), &after);
    }
    return;  // ends what was opened, on this thread, after the lock
  }
  if (!opened.ok()) {
    LoadFailedLocked(entry, std::move(job), opened.status(), &after);
    return;
  }
  entry.source.path = job.path;
  entry.error = OkStatus();
  BecomeReadyLocked(done.index, *std::move(opened), &after);
  CallAll(&job.done, OkStatus(), &after);
  CheckStartedLocked(OkStatus(), &after);
}

void Catalogue::BecomeReadyLocked(size_t index, std::unique_ptr<backend::Backend> backend,
                                  After* after) {
  Entry& entry = *entries_[index];
  auto* served = new Served;
  const std::shared_ptr<const Served> owner(
      served, [retired = retired_, index](const Served* gone) { retired->Add(index, gone); });
  served->name = entry.source.name;
  served->path = entry.source.path;
  served->created_s = clock_.WallS();
  served->backend = std::move(backend);
  if (closed_) served->backend->CloseIntake();
  if (entry.served) StartDrainingLocked(entry, after);  // the old one of a swap
  entry.served = owner;
  entry.state = ModelState::kReady;
  entry.last_used_ns = clock_.NowNs();
  ++entry.in_memory;
  CallAll(&entry.unloaded, {StatusCode::kAborted, "the model has been loaded again"}, after);
  ServeWaitersLocked(entry);
}

void Catalogue::LoadFailedLocked(Entry& entry, Job job, const Status& why, After* after) {
  if (started_) LogWarn("serving", "model {}: {}", entry.source.name, why.message());
  entry.error = why;
  entry.failed_ns = clock_.NowNs();
  if (entry.state == ModelState::kReady) {  // a swap; the old one serves on
    if (!job.evict || why.code() != StatusCode::kResourceExhausted) {
      CallAll(&job.done, why, after);
      return;
    }
    job.fallback = entry.source.path;
    entry.source.on_demand = true;  // should both fail, requests try the old one again
    job.running = false;
    job.progress = std::make_shared<LoadProgress>();
    entry.job = std::move(job);
    StartDrainingLocked(entry, after);
    return;
  }
  CallAll(&job.done, why, after);
  if (entry.state != ModelState::kLoading) return;
  if (!job.fallback.empty()) {
    QueueJobLocked(entry, job.fallback, {});
    return;
  }
  entry.state = ModelState::kFailed;
  RefuseWaitersLocked(entry, Unavailable(fmt::format("the model '{}' could not be loaded",
                                                     entry.source.name)));
  CallAll(&entry.unloaded, OkStatus(), after);
  if (entry.of_start) CheckStartedLocked(why, after);
}

// The instance that serves leaves: no new request gets it, those that have it keep it.
void Catalogue::StartDrainingLocked(Entry& entry, After* after) {
  backend::Stats stats = entry.served->backend->GetStats();
  AddCounters(stats, &entry.past);
  entry.leaving.emplace_back(entry.served.get(), stats);
  after->released.push_back(std::move(entry.served));
  entry.served.reset();
  entry.state = ModelState::kDraining;
}

void Catalogue::EndDrainingLocked(Entry& entry, After* after) {
  if (entry.in_memory > 0 || entry.state != ModelState::kDraining) return;
  if (entry.job) {
    entry.state = ModelState::kLoading;
    return;
  }
  entry.state = ModelState::kUnloaded;
  CallAll(&entry.unloaded, OkStatus(), after);
}

bool Catalogue::EvictIdle(const LoadJob& job) {
  if (!job.may_evict) return false;
  After after;
  const std::lock_guard lock(mutex_);
  Entry* oldest = nullptr;
  for (const auto& entry : entries_) {
    const bool idle = entry->served && !entry->job && entry->served.use_count() == 1;
    if (idle && (oldest == nullptr || entry->last_used_ns < oldest->last_used_ns)) {
      oldest = entry.get();
    }
  }
  if (oldest == nullptr) return false;
  LogInfo("serving", "model {} leaves memory to make room for {}", oldest->source.name, job.name);
  oldest->source.on_demand = true;
  StartDrainingLocked(*oldest, &after);
  return true;
}

void Catalogue::DestroyRetired() {
  std::vector<std::pair<size_t, const Served*>> items;
  {
    const std::lock_guard lock(retired_->mutex);
    items.swap(retired_->items);
  }
  for (const auto& [index, served] : items) {
    backend::Stats rest = served->backend->GetStats();
    {
      const std::lock_guard lock(mutex_);
      Entry& entry = *entries_[index];
      const auto at = std::find_if(entry.leaving.begin(), entry.leaving.end(),
                                   [&](const auto& pair) { return pair.first == served; });
      if (at != entry.leaving.end()) {
        SubtractCounters(at->second, &rest);
        AddCounters(rest, &entry.past);
        entry.leaving.erase(at);
      }
    }
    const std::string name = served->name;
    delete served;
    After after;
    const std::lock_guard lock(mutex_);
    --entries_[index]->in_memory;
    EndDrainingLocked(*entries_[index], &after);
    if (started_ && !closed_) LogInfo("serving", "model {}: an instance has left memory", name);
  }
}

bool Catalogue::NothingRetiring() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(entries_.begin(), entries_.end(), [](const auto& entry) {
    return entry->in_memory == (entry->served ? 1 : 0);
  });
}

bool Catalogue::Loading() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const auto& entry) { return entry->job && entry->job->running; });
}

void Catalogue::WaitForWork(const std::stop_token& stop) {
  std::unique_lock lock(retired_->mutex);
  retired_->bell.wait(lock, stop, [&] { return retired_->woken || !retired_->items.empty(); });
  retired_->woken = false;
}

void Catalogue::ServeWaitersLocked(Entry& entry) {
  for (Waiting& waiting : entry.waiting) {
    --waiting_;
    waiting_bytes_ -= waiting.waiter->bytes();
    deliveries_.push_back({std::move(waiting.waiter), OkStatus(), entry.served});
  }
  entry.waiting.clear();
  tick_wanted_.notify_all();
}

void Catalogue::UnloadIdleLocked(int64_t now_ns, After* after) {
  if (options_.idle_unload_s <= 0 || closed_) return;
  const auto limit_ns = static_cast<int64_t>(options_.idle_unload_s * 1e9);
  for (const auto& entry : entries_) {
    if (!entry->served || entry->job) continue;
    if (entry->served.use_count() > 1) entry->last_used_ns = now_ns;
    if (now_ns - entry->last_used_ns < limit_ns) continue;
    LogInfo("serving", "model {} has been idle and leaves memory", entry->source.name);
    entry->source.on_demand = true;
    StartDrainingLocked(*entry, after);
  }
}

void Catalogue::Tick(bool progress) {
  std::vector<Delivery> deliveries;
  std::vector<std::pair<std::shared_ptr<LoadWaiter>, double>> told;
  {
    After after;
    const std::lock_guard lock(mutex_);
    const int64_t now_ns = clock_.NowNs();
    deliveries.swap(deliveries_);
    for (const auto& entry : entries_) {
      const double share = entry->job ? entry->job->progress->Share() : 0.;
      std::erase_if(entry->waiting, [&](Waiting& waiting) {
        const bool gone = waiting.waiter->Gone();
        const bool late = now_ns >= waiting.deadline_ns;
        if (!gone && !late) {
          if (progress) told.emplace_back(waiting.waiter, share);
          return false;
        }
        --waiting_;
        waiting_bytes_ -= waiting.waiter->bytes();
        if (!gone) {
          deliveries.push_back(
              {std::move(waiting.waiter),
               Unavailable(fmt::format("the model '{}' was still loading after {} s",
                                       entry->source.name, options_.load_wait_s))
                   .WithRetryAfter(kLateRetryMs),
               nullptr});
        }
        return true;
      });
    }
    UnloadIdleLocked(now_ns, &after);
  }
  for (const auto& [waiter, share] : told) waiter->OnProgress(share);
  for (Delivery& delivery : deliveries) {
    if (delivery.served) {
      delivery.waiter->OnEnd(std::move(delivery.served));
    } else {
      delivery.waiter->OnEnd(std::move(delivery.error));
    }
  }
}

void Catalogue::WaitForTick(const std::stop_token& stop, int timeout_ms) {
  std::unique_lock lock(mutex_);
  tick_wanted_.wait_for(lock, stop, std::chrono::milliseconds(timeout_ms),
                        [&] { return !deliveries_.empty(); });
}

void Catalogue::OnStarted(Done done) {
  After after;
  const std::lock_guard lock(mutex_);
  on_started_ = std::move(done);
  CheckStartedLocked(OkStatus(), &after);
}

void Catalogue::CheckStartedLocked(const Status& failure, After* after) {
  if (started_) return;
  if (failure.ok()) {
    for (const auto& entry : entries_) {
      if (entry->of_start && entry->state != ModelState::kReady) return;
    }
    started_ = true;
  } else {
    for (const auto& entry : entries_) {  // the process ends; nothing more is loaded for that
      if (entry->job && !entry->job->running) entry->job.reset();
    }
  }
  if (!on_started_) return;
  after->calls.push_back([done = std::exchange(on_started_, {}), failure] { done(failure); });
}

}  // namespace pelton::serving
