// Opens models for any command: a file on the own engine, or sim:.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "backend/backend.h"
#include "base/cpu_watch.h"
#include "base/memory_budget.h"
#include "base/status.h"
#if PELTON_WITH_ENGINE
#include "backend/native/native_backend.h"
#endif

namespace pelton::kv {
class DiskCache;
}

namespace pelton::app {

// What can be set about engines; without the engine there is nothing to set.
#if PELTON_WITH_ENGINE
using EngineSettings = backend::NativeOptions;
#else
struct EngineSettings {
  template <typename V>
  void Fields(V&) {}
};
#endif

// A model among the others of the process.
struct OpenPlace {
  std::string name = "model";
  int others = 0;             // models still to come …
  uint64_t others_bytes = 0;  // … and their weights
  bool log_progress = false;
};

// Holds what the opened models share (worker team, kernel table) and so outlives them. The team
// starts with the first model that needs it. Thread-safe; models are opened one at a time.
class ModelOpener {
 public:
  ModelOpener(const EngineSettings& settings, std::string state_dir);
  ~ModelOpener();

  // What the machine lets us compute with now; any thread. An explicit --threads stays as it is.
  void OnCpuBudget(const CpuBudget& budget);
  int compute_threads() const;  // of the team; 0 before the first model that needs it

  // The memory budget: `wanted` bytes, 0 for what the machine and the cgroup leave. Once, before the
  // first Open, which does it with 0 otherwise.
  Status SetMemory(uint64_t wanted_bytes);
  const MemoryBudget* memory() const { return budget_.get(); }
  // Between SetMemory and the first Open. Outlives all that is opened; null: in memory only. Takes its
  // copies' memory out of the budget.
  Status UsePrefixDisk(kv::DiskCache* disk);

  // `word`: a path, the name of a pulled model, or sim:?…
  Result<std::unique_ptr<backend::Backend>> Open(
      const std::string& word, const OpenPlace& place,
      std::function<void(uint64_t done, uint64_t total)> progress);

 private:
  struct Shared;
  void ApplyLocked();

  const EngineSettings settings_;
  const std::string state_dir_;
  std::unique_ptr<MemoryBudget> budget_;  // constant once set
  mutable std::mutex mutex_;
  CpuBudget cpu_;                   // guarded by mutex_
  std::unique_ptr<Shared> shared_;  // guarded by mutex_; constant once set
  kv::DiskCache* prefix_disk_ = nullptr;     // constant once set
  MemoryBudget::Hold prefix_disk_hold_;
};

}  // namespace pelton::app
