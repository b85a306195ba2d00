// What is served: names, the backends behind them, and the state that each is in.
//
//            Load, request                opened
//   kUnloaded ──────────► kLoading ─────────────────► kReady ─┐ Swap: a second one is opened beside
//       ▲  ▲                 │ │ failed                 │  ▲  │ it and takes its place; a failure
//       │  │ Unload          │ └──────► kFailed ──Load──┼──┼──┘ leaves the old one
//       │  └─────────────────┘            (kLoading)    │  └── (stays kReady)
//       └──────── kDraining ◄───────────────────────────┘ Unload, idle, memory wanted
//          last user gone │
//                         └──► kLoading, when it was wanted again meanwhile
//
// This class is the state alone: it starts no thread and opens nothing. Fleet does the work that
// TakeJob and the retired models ask for; requests and operators only change what is wanted.
//
// A Served is shared by the catalogue and every request that runs on it. Whoever lets go last hands
// it back (it is never destroyed on a backend's own thread), and DestroyRetired ends it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/status.h"
#include "serving/model_source.h"

namespace pelton::serving {

struct Served {  // constant once ready
  std::string name;
  std::string path;
  int64_t created_s = 0;  // wall clock, when it became ready
  std::shared_ptr<backend::Backend> backend;
};

enum class ModelState : uint8_t { kUnloaded, kLoading, kReady, kDraining, kFailed };
std::string_view ModelStateName(ModelState state);  // "unloaded", …

struct CatalogueOptions {
  double idle_unload_s = 0;
  double load_wait_s = 120;
  int load_waiting_max = 64;
  std::vector<std::string> model_dirs = {};

  template <typename V>
  void Fields(V& v) {
    v.Field("model-dir", model_dirs,
            {.help = "Folder whose model files operators may load by "
                     "POST /v1/admin/models/NAME/load and swap. Repeatable; none by default.",
             .value_name = "DIR"});
    v.Field("idle-unload-s", idle_unload_s,
            {.help = "Seconds without a request after which a model leaves memory; the next request "
                     "loads it again. 0: never.", .min = 0, .max = 1e7});
    v.Field("load-wait-s", load_wait_s,
            {.help = "Longest that a request waits for its model to be loaded; then 503.",
             .min = 0, .max = 3600});
    v.Field("load-waiting-max", load_waiting_max,
            {.help = "Requests that wait for models to be loaded; one more gets 503.",
             .min = 0, .max = 10'000});
  }
};

// Bodies of requests that wait for a model, together.
inline constexpr size_t kLoadWaitingBytesMax = size_t{64} << 20;

// How far a load is. Written by the loading thread, read by any.
struct LoadProgress {
  std::atomic<uint64_t> done_bytes{0};
  std::atomic<uint64_t> total_bytes{0};
  double Share() const;  // 0 to 1
};

// A request that waits for a model. All calls come from one thread (Fleet's), none follows OnEnd.
class LoadWaiter {
 public:
  virtual ~LoadWaiter() = default;
  virtual bool Gone() const = 0;             // nobody waits for the answer any more; any thread
  virtual size_t bytes() const = 0;          // that the waiting request holds
  virtual void OnProgress(double share) = 0; // now and then
  virtual void OnEnd(Result<std::shared_ptr<const Served>> model) = 0;
};

// A load for Fleet to do.
struct LoadJob {
  size_t index = 0;  // of the entry
  std::string name;
  std::string path;
  bool may_evict = false;                // other idle models may go to make room
  std::shared_ptr<LoadProgress> progress;
  std::vector<std::string> others;       // paths of the models that are not loaded now
};

// One model as it is now.
struct ModelView {
  std::string name;
  std::string path;
  ModelState state = ModelState::kUnloaded;
  bool on_demand = false;      // a request loads it
  bool swapping = false;       // ready, and another file is being loaded to take its place
  double progress = 0;         // of a load, 0 to 1
  int in_memory = 0;           // instances: 2 while a swapped-out one still has requests
  int waiting = 0;             // requests that wait for it
  Status error;                // of the last load, when it failed
  std::shared_ptr<const Served> served;  // when ready
};

class Catalogue {  // thread-safe
 public:
  using Done = std::function<void(const Status&)>;  // called once, on any thread, under no lock

  // INVALID_ARGUMENT: no model, a name twice or malformed, too many.
  static Result<std::unique_ptr<Catalogue>> Make(std::vector<ModelSource> sources,
                                                 CatalogueOptions options = {},
                                                 const Clock& clock = SystemClock());
  ~Catalogue();
  const CatalogueOptions& options() const { return options_; }

  // --- Requests ---
  // NOT_FOUND: no such model. UNAVAILABLE with retry-after: not loaded; a load has begun where a
  // request may cause it. An empty name means the only model there is (INVALID_ARGUMENT naming
  // "model" when there are several).
  Result<std::shared_ptr<const Served>> Find(std::string_view name);
  // As Find, but a request whose model is on its way is kept: then the result is null and `waiter`
  // hears the end. Bounded in number, bytes and time.
  Result<std::shared_ptr<const Served>> FindOrWait(std::string_view name,
                                                   std::shared_ptr<LoadWaiter> waiter);
  // The model's name for a request's word (empty: the only one); nothing when it has no entry.
  std::optional<std::string> NameFor(std::string_view name) const;

  std::vector<std::shared_ptr<const Served>> Ready() const;
  bool AllReady() const;  // every model that loads at the start has done so, once
  std::vector<ModelView> Views() const;
  std::optional<ModelView> View(std::string_view name) const;
  // The backend's figures; counters go on over reloads and swaps.
  backend::Stats StatsOf(std::string_view name) const;

  // --- Operators ---
  // Each says at once whether it can be (ABORTED: not in this state), and calls `done` (may be
  // empty) when it has been, or has failed. `path` is a file that FileBelow allowed; empty: the
  // entry's own. Load with a path and a new name adds an entry.
  Status Load(std::string_view name, const std::string& path, Done done);
  // `until_wanted`: the next request loads it again; otherwise it stays away until an operator does.
  Status Unload(std::string_view name, Done done, bool until_wanted = false);
  // The new file is loaded beside the old, which serves on. `evict`: when memory is short the old
  // one goes first (its requests finish), and comes back should the new one fail.
  Status Swap(std::string_view name, const std::string& path, bool evict, Done done);
  // Refuses and wakes everything that waits; every backend's intake closes, also of those that
  // become ready later.
  void CloseIntake();

  // --- Fleet ---
  std::optional<LoadJob> TakeJob();
  void FinishJob(const LoadJob& job, Result<std::unique_ptr<backend::Backend>> opened);
  // Takes the idle model that was used least recently out of memory (after the next
  // DestroyRetired). False: there is none.
  bool EvictIdle(const LoadJob& job);
  // Ends models that nobody uses any more. On a thread that no backend owns.
  void DestroyRetired();
  // True when every backend is gone or still in its place: nothing waits to be destroyed.
  bool NothingRetiring() const;
  bool Loading() const;  // a job runs
  // Blocks until TakeJob or DestroyRetired may have something, or a stop.
  void WaitForWork(const std::stop_token& stop);
  // Delivers what waiters are to hear and unloads idle models; `progress`: tells how far loads are.
  void Tick(bool progress);
  // Blocks until Tick may have something to deliver, a stop, or `timeout_ms`.
  void WaitForTick(const std::stop_token& stop, int timeout_ms);
  // Called once, when the models of the start are ready (OK) or the first of them has failed.
  void OnStarted(Done done);

 private:
  struct Retired;
  struct Waiting {
    std::shared_ptr<LoadWaiter> waiter;
    int64_t deadline_ns = 0;
  };
  struct Delivery {
    std::shared_ptr<LoadWaiter> waiter;
    Status error;                          // or
    std::shared_ptr<const Served> served;
  };
  struct Job {
    Job();  // declared: a nested class with initialisers is no default-constructible
            // one inside its own enclosing class, and `optional` below asks there
    std::string path;
    std::string fallback;  // the file to go back to; not empty: the old one has gone for this
    bool evict = false;
    bool by_swap = false;
    bool running = false;
    bool dropped = false;  // unloaded meanwhile: what it opens is thrown away
    uint64_t order = 0;
    std::shared_ptr<LoadProgress> progress = std::make_shared<LoadProgress>();
    std::vector<Done> done;
  };
  struct Entry {
    ModelSource source;
    ModelState state = ModelState::kUnloaded;
    std::shared_ptr<const Served> served;  // when ready
    std::optional<Job> job;
    int in_memory = 0;
    Status error;
    int64_t failed_ns = 0;
    int64_t last_used_ns = 0;
    bool of_start = false;   // the start waits for it
    backend::Stats past;     // counters of instances that are gone
    std::vector<std::pair<const Served*, backend::Stats>> leaving;  // what `past` has of each
    std::vector<Waiting> waiting;
    std::vector<Done> unloaded;
  };
  // What is done once the lock is released: declared before the lock, so destroyed after it.
  struct After {
    ~After();
    std::vector<std::function<void()>> calls;
    std::vector<std::shared_ptr<const Served>> released;
  };

  Catalogue(std::vector<ModelSource> sources, CatalogueOptions options, const Clock& clock);

  Entry* FindLocked(std::string_view name);
  const Entry* FindLocked(std::string_view name) const;
  Result<Entry*> EntryForLocked(std::string_view name);
  Status UnavailableLocked(Entry& entry);
  bool WakeOnRequestLocked(Entry& entry);
  void QueueJobLocked(Entry& entry, std::string path, Done done);
  void StartDrainingLocked(Entry& entry, After* after);
  void EndDrainingLocked(Entry& entry, After* after);
  void RefuseWaitersLocked(Entry& entry, const Status& why);
  void ServeWaitersLocked(Entry& entry);
  void BecomeReadyLocked(size_t index, std::unique_ptr<backend::Backend> backend, After* after);
  void LoadFailedLocked(Entry& entry, Job job, const Status& why, After* after);
  void CheckStartedLocked(const Status& failure, After* after);
  void UnloadIdleLocked(int64_t now_ns, After* after);
  ModelView ViewLocked(const Entry& entry) const;
  static void CallAll(std::vector<Done>* done, const Status& status, After* after);

  const CatalogueOptions options_;
  const Clock& clock_;
  const std::shared_ptr<Retired> retired_;  // outlives this while a request holds a model
  mutable std::mutex mutex_;
  std::condition_variable_any tick_wanted_;
  // All below guarded by mutex_.
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<Delivery> deliveries_;
  uint64_t orders_ = 0;
  int waiting_ = 0;
  size_t waiting_bytes_ = 0;
  bool closed_ = false;
  bool started_ = false;
  Done on_started_;
};

}  // namespace pelton::serving
