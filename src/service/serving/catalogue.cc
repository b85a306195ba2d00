// What requests and operators do to the catalogue; catalogue_work.cc has what Fleet does.
#include "serving/catalogue.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "serving/catalogue_retired.h"

namespace pelton::serving {
namespace {

constexpr int64_t kLoadingRetryMs = 1000;
constexpr int64_t kUnloadedRetryMs = 30'000;
constexpr int64_t kFailedRetryNs = 10'000'000'000;  // before a request causes another try

Status Aborted(std::string message) { return {StatusCode::kAborted, std::move(message)}; }

}  // namespace

std::string_view ModelStateName(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded: return "unloaded";
    case ModelState::kLoading: return "loading";
    case ModelState::kReady: return "ready";
    case ModelState::kDraining: return "draining";
    case ModelState::kFailed: return "failed";
  }
  return "failed";
}

double LoadProgress::Share() const {
  const auto total = static_cast<double>(total_bytes.load());
  return total > 0 ? std::min(1., static_cast<double>(done_bytes.load()) / total) : 0.;
}

Result<std::unique_ptr<Catalogue>> Catalogue::Make(std::vector<ModelSource> sources,
                                                   CatalogueOptions options, const Clock& clock) {
  if (sources.empty()) return InvalidArgument("no model to serve; give --model FILE");
  if (sources.size() > kModelsMax) {
    return InvalidArgument(fmt::format("{} models; at most {}", sources.size(), kModelsMax));
  }
  std::vector<std::string> names;
  for (ModelSource& source : sources) {
    if (source.path.empty()) return InvalidArgument("a model of the catalogue has no path");
    if (source.name.empty()) source.name = NameOfPath(source.path);
    if (!ValidModelName(source.name)) {
      return InvalidArgument(fmt::format(
          "model name \"{}\" must have 1 to {} letters, digits or . _ : / @ + -", source.name,
          kModelNameBytesMax));
    }
    names.push_back(source.name);
  }
  std::sort(names.begin(), names.end());
  if (const auto twin = std::adjacent_find(names.begin(), names.end()); twin != names.end()) {
    return InvalidArgument(
        fmt::format("two models are called \"{}\"; name them: --model NAME=FILE", *twin));
  }
  return std::unique_ptr<Catalogue>(
      new Catalogue(std::move(sources), std::move(options), clock));
}

Catalogue::Catalogue(std::vector<ModelSource> sources, CatalogueOptions options,
                     const Clock& clock)
    : options_(std::move(options)), clock_(clock), retired_(std::make_shared<Retired>()) {
  const std::lock_guard lock(mutex_);
  for (ModelSource& source : sources) {
    auto entry = std::make_unique<Entry>();
    entry->source = std::move(source);
    entry->of_start = !entry->source.on_demand;
    if (entry->of_start) QueueJobLocked(*entry, entry->source.path, {});
    entries_.push_back(std::move(entry));
  }
}

Catalogue::~Catalogue() {
  {
    After after;
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries_) after.released.push_back(std::move(entry->served));
  }
  DestroyRetired();
}

Catalogue::Entry* Catalogue::FindLocked(std::string_view name) {
  if (name.empty()) return entries_.size() == 1 ? entries_.front().get() : nullptr;
  for (const auto& entry : entries_) {
    if (entry->source.name == name) return entry.get();
  }
  return nullptr;
}

const Catalogue::Entry* Catalogue::FindLocked(std::string_view name) const {
  return const_cast<Catalogue*>(this)->FindLocked(name);
}

Result<Catalogue::Entry*> Catalogue::EntryForLocked(std::string_view name) {
  if (Entry* entry = FindLocked(name)) return entry;
  if (name.empty()) {
    return std::move(InvalidArgument("\"model\" is required: several models are served"))
        .WithParam("model");
  }
  return NotFound(fmt::format("The model '{}' does not exist; GET /v1/models lists what is served",
                              name.substr(0, kModelNameBytesMax)))
      .WithParam("model");
}

// What a request for a model that is not ready is told.
Status Catalogue::UnavailableLocked(Entry& entry) {
  const std::string& name = entry.source.name;
  if (closed_) return Unavailable("the server is shutting down");
  if (WakeOnRequestLocked(entry)) {
    return Unavailable(fmt::format("the model '{}' is still loading", name))
        .WithRetryAfter(kLoadingRetryMs);
  }
  if (entry.state == ModelState::kFailed) {
    return Unavailable(fmt::format("the model '{}' could not be loaded", name))
        .WithRetryAfter(kUnloadedRetryMs);
  }
  return Unavailable(fmt::format("the model '{}' is not loaded", name))
      .WithRetryAfter(kUnloadedRetryMs);
}

// True when the model is on its way into memory, now or through this request.
bool Catalogue::WakeOnRequestLocked(Entry& entry) {
  if (closed_) return false;
  if (entry.job) return !entry.job->dropped;
  const bool may = entry.source.on_demand &&
                   (entry.state != ModelState::kFailed ||
                    clock_.NowNs() - entry.failed_ns >= kFailedRetryNs);
  if (may) QueueJobLocked(entry, entry.source.path, {});
  return may;
}

Catalogue::Job::Job() = default;

void Catalogue::QueueJobLocked(Entry& entry, std::string path, Done done) {
  entry.job.emplace();
  entry.job->path = std::move(path);
  entry.job->order = orders_++;
  if (done) entry.job->done.push_back(std::move(done));
  if (entry.state == ModelState::kUnloaded || entry.state == ModelState::kFailed) {
    entry.state = ModelState::kLoading;
  }
  retired_->Wake();
}

Result<std::shared_ptr<const Served>> Catalogue::Find(std::string_view name) {
  const std::lock_guard lock(mutex_);
  auto entry = EntryForLocked(name);
  if (!entry.ok()) return entry.status();
  if (!(*entry)->served) return UnavailableLocked(**entry);
  (*entry)->last_used_ns = clock_.NowNs();
  return (*entry)->served;
}

Result<std::shared_ptr<const Served>> Catalogue::FindOrWait(std::string_view name,
                                                            std::shared_ptr<LoadWaiter> waiter) {
  const std::lock_guard lock(mutex_);
  auto found = EntryForLocked(name);
  if (!found.ok()) return found.status();
  Entry& entry = **found;
  if (entry.served) {
    entry.last_used_ns = clock_.NowNs();
    return entry.served;
  }
  Status refused = UnavailableLocked(entry);
  if (!entry.job || entry.job->dropped || closed_ || options_.load_wait_s <= 0) return refused;
  const size_t bytes = waiter->bytes();
  if (waiting_ >= options_.load_waiting_max || bytes > kLoadWaitingBytesMax - waiting_bytes_) {
    return Unavailable(fmt::format("{}, and too many requests wait for models", refused.message()))
        .WithRetryAfter(kLoadingRetryMs);
  }
  ++waiting_;
  waiting_bytes_ += bytes;
  entry.waiting.push_back({std::move(waiter), clock_.NowNs() + static_cast<int64_t>(
                                                                   options_.load_wait_s * 1e9)});
  return std::shared_ptr<const Served>();
}

std::optional<std::string> Catalogue::NameFor(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const Entry* entry = FindLocked(name);
  return entry == nullptr ? std::nullopt : std::optional(entry->source.name);
}

std::vector<std::shared_ptr<const Served>> Catalogue::Ready() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const Served>> ready;
  for (const auto& entry : entries_) {
    if (entry->served) ready.push_back(entry->served);
  }
  return ready;
}

bool Catalogue::AllReady() const {
  const std::lock_guard lock(mutex_);
  return started_;
}

ModelView Catalogue::ViewLocked(const Entry& entry) const {
  ModelView view;
  view.name = entry.source.name;
  view.path = entry.source.path;
  view.state = entry.state;
  view.on_demand = entry.source.on_demand;
  view.swapping = entry.state == ModelState::kReady && entry.job.has_value();
  if (entry.job) view.progress = entry.job->progress->Share();
  view.in_memory = entry.in_memory;
  view.waiting = static_cast<int>(entry.waiting.size());
  view.error = entry.error;
  view.served = entry.served;
  return view;
}

std::vector<ModelView> Catalogue::Views() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelView> views;
  for (const auto& entry : entries_) views.push_back(ViewLocked(*entry));
  return views;
}

std::optional<ModelView> Catalogue::View(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const Entry* entry = FindLocked(name);
  return entry == nullptr ? std::nullopt : std::optional(ViewLocked(*entry));
}

backend::Stats Catalogue::StatsOf(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const Entry* entry = FindLocked(name);
  backend::Stats stats;
  stats.heartbeat_ns = clock_.NowNs();  // what is not loaded does not stand still
  if (entry == nullptr) return stats;
  if (entry->served) stats = entry->served->backend->GetStats();
  AddCounters(entry->past, &stats);
  return stats;
}

Status Catalogue::Load(std::string_view name, const std::string& path, Done done) {
  After after;
  const std::lock_guard lock(mutex_);
  if (closed_) return Unavailable("the server is shutting down");
  Entry* entry = name.empty() ? nullptr : FindLocked(name);
  if (entry == nullptr) {
    if (path.empty() || !ValidModelName(name)) {
      return NotFound(fmt::format("there is no model '{}'; give its \"path\" to add one",
                                  name.substr(0, kModelNameBytesMax)));
    }
    if (entries_.size() >= kModelsMax) {
      return Aborted(fmt::format("there are {} models already", kModelsMax));
    }
    entry = entries_.emplace_back(std::make_unique<Entry>()).get();
    entry->source = {.name = std::string(name), .path = path};
  }
  const std::string& current = entry->job ? entry->job->path : entry->source.path;
  const bool same = path.empty() || path == current;
  if (entry->state == ModelState::kReady) {
    if (!same || entry->job) return Aborted("it is loaded; swap takes another file in its place");
    if (done) after.calls.push_back([done = std::move(done)] { done(OkStatus()); });
    return OkStatus();
  }
  if (entry->job) {
    if (!same) return Aborted("it is being loaded from another file");
    entry->job->dropped = false;
    if (done) entry->job->done.push_back(std::move(done));
    return OkStatus();
  }
  QueueJobLocked(*entry, path.empty() ? entry->source.path : path, std::move(done));
  return OkStatus();
}

Status Catalogue::Unload(std::string_view name, Done done, bool until_wanted) {
  After after;
  const std::lock_guard lock(mutex_);
  Entry* entry = name.empty() ? nullptr : FindLocked(name);
  if (entry == nullptr) return NotFound("there is no such model");
  entry->source.on_demand = until_wanted;
  RefuseWaitersLocked(*entry, Unavailable(fmt::format("the model '{}' has been unloaded",
                                                      entry->source.name)));
  if (entry->job) {
    if (entry->job->running) {
      entry->job->dropped = true;
    } else {
      CallAll(&entry->job->done, Aborted("the model has been unloaded"), &after);
      entry->job.reset();
      if (entry->state == ModelState::kLoading) entry->state = ModelState::kUnloaded;
    }
  }
  if (entry->state == ModelState::kFailed) entry->state = ModelState::kUnloaded;
  if (done) entry->unloaded.push_back(std::move(done));
  if (entry->state == ModelState::kReady) StartDrainingLocked(*entry, &after);
  if (entry->state == ModelState::kUnloaded) CallAll(&entry->unloaded, OkStatus(), &after);
  return OkStatus();
}

Status Catalogue::Swap(std::string_view name, const std::string& path, bool evict, Done done) {
  const std::lock_guard lock(mutex_);
  if (closed_) return Unavailable("the server is shutting down");
  Entry* entry = name.empty() ? nullptr : FindLocked(name);
  if (entry == nullptr) return NotFound("there is no such model");
  if (entry->job || entry->state == ModelState::kDraining) {
    return Aborted(fmt::format("the model '{}' is {}; wait until that is over", entry->source.name,
                               entry->state == ModelState::kReady
                                   ? "being swapped"
                                   : ModelStateName(entry->state)));
  }
  QueueJobLocked(*entry, path.empty() ? entry->source.path : path, std::move(done));
  entry->job->by_swap = true;
  entry->job->evict = evict;
  return OkStatus();
}

void Catalogue::CloseIntake() {
  After after;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  const Status why = Unavailable("the server is shutting down");
  for (const auto& entry : entries_) {
    if (entry->served) entry->served->backend->CloseIntake();
    RefuseWaitersLocked(*entry, why);
    if (!entry->job) continue;
    CallAll(&entry->job->done, why, &after);
    if (entry->job->running) {
      entry->job->dropped = true;
    } else {
      entry->job.reset();
      if (entry->state == ModelState::kLoading) entry->state = ModelState::kUnloaded;
    }
  }
}

void Catalogue::CallAll(std::vector<Done>* done, const Status& status, After* after) {
  for (Done& call : *done) {
    after->calls.push_back([call = std::move(call), status] { call(status); });
  }
  done->clear();
}

void Catalogue::RefuseWaitersLocked(Entry& entry, const Status& why) {
  for (Waiting& waiting : entry.waiting) {
    --waiting_;
    waiting_bytes_ -= waiting.waiter->bytes();
    deliveries_.push_back({std::move(waiting.waiter), why, nullptr});
  }
  entry.waiting.clear();
  tick_wanted_.notify_all();
}

}  // namespace pelton::serving
