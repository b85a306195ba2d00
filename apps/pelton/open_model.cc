#include "open_model.h"

#include <unistd.h>

#include <utility>

#include "backend/sim/sim_backend.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "paths.h"
#if PELTON_WITH_ENGINE
#include "choose_kernels.h"
#include "kv/disk_cache.h"
#endif

namespace pelton::app {
namespace {

Result<std::unique_ptr<backend::Backend>> OpenSim(
    const std::string& word, const std::function<void(uint64_t done, uint64_t total)>& progress) {
  constexpr int kPieceMs = 20;
  auto options = backend::ParseSimUrl(word);
  if (!options.ok()) return options.status();
  for (int passed_ms = 0; passed_ms < options->load_ms; passed_ms += kPieceMs) {
    usleep(kPieceMs * 1000);
    if (progress) progress(static_cast<uint64_t>(passed_ms), static_cast<uint64_t>(options->load_ms));
  }
  return backend::MakeSimBackend(*options);
}

}  // namespace

#if PELTON_WITH_ENGINE

namespace {

// An idle worker's spin between the pieces of a step. Under a quota waiting is paid from the same
// account as work; parking and waking costs some 5 µs a piece then, which a step of milliseconds
// does not feel.
constexpr int kSpinUs = 200;
constexpr int kScarceSpinUs = 10;

// For those who show no bar: a line in the log every two seconds, while packing takes long.
std::function<void(uint64_t, uint64_t)> LoggedProgress(const std::string& path) {
  constexpr int64_t kEveryNs = 2'000'000'000;
  return [path, next_ns = NowNs() + kEveryNs](uint64_t done, uint64_t total) mutable {
    if (NowNs() < next_ns || total == 0) return;
    next_ns = NowNs() + kEveryNs;
    LogInfo("load", "{}: packing weights, {} %", path, done * 100 / total);
  };
}

}  // namespace

struct ModelOpener::Shared {
  Shared(const nn::TeamOptions& options, const kernels::KernelTable& kernel_table)
      : team(options), table(kernel_table) {}
  nn::Team team;
  const kernels::KernelTable& table;
};

Result<std::unique_ptr<backend::Backend>> ModelOpener::Open(
    const std::string& word, const OpenPlace& place,
    std::function<void(uint64_t done, uint64_t total)> progress) {
  if (backend::IsSimUrl(word)) {
    return OpenSim(word, progress);
  }
  auto path = ResolveModel(word, state_dir_);
  if (!path.ok()) return path.status();
  if (!budget_) RETURN_IF_ERROR(SetMemory(0));
  {
    const std::lock_guard lock(mutex_);
    if (!shared_) {
      auto table = ChooseKernels();
      if (!table.ok()) return table.status();
      const int threads =
          settings_.threads > 0 ? settings_.threads : static_cast<int>(AffinityCpus().size());
      shared_ = std::make_unique<Shared>(
          nn::TeamOptions{.threads = threads, .pin = settings_.pin_threads, .spin_us = kSpinUs},
          **table);
      ApplyLocked();
    }
  }
  EngineSettings settings = settings_;
  settings.engine.prefix_disk = prefix_disk_;
  settings.packed_cache = PackedCacheDir(settings.packed_cache);
  settings.engine.memory = {.budget = budget_.get(), .owner = place.name, .others = place.others,
                            .others_bytes = place.others_bytes};
  if (!progress || place.log_progress) {
    progress = [logged = LoggedProgress(*path), told = std::move(progress)](
                   uint64_t done, uint64_t total) mutable {
      logged(done, total);
      if (told) told(done, total);
    };
  }
  return backend::LoadNative(*path, settings, {shared_->team, shared_->table},
                             std::move(progress));
}

Status ModelOpener::UsePrefixDisk(kv::DiskCache* disk) {
  prefix_disk_ = disk;
  if (disk == nullptr) return OkStatus();
  auto hold = budget_->Take("prefix-cache/disk", disk->memory_bytes_max());
  RETURN_IF_ERROR(hold.status());
  prefix_disk_hold_ = *std::move(hold);
  return OkStatus();
}

void ModelOpener::ApplyLocked() {
  if (!shared_) return;
  shared_->team.SetLimits(settings_.threads > 0 ? settings_.threads : cpu_.threads,
                          cpu_.scarce() ? kScarceSpinUs : kSpinUs);
}

int ModelOpener::compute_threads() const {
  const std::lock_guard lock(mutex_);
  return shared_ ? shared_->team.active() : 0;
}

#else

struct ModelOpener::Shared {};
void ModelOpener::ApplyLocked() {}
int ModelOpener::compute_threads() const { return 0; }

Result<std::unique_ptr<backend::Backend>> ModelOpener::Open(
    const std::string& word, const OpenPlace&,
    std::function<void(uint64_t done, uint64_t total)> progress) {
  if (!backend::IsSimUrl(word)) {
    return Unimplemented("this build has no engine of its own; it can only open sim:");
  }
  return OpenSim(word, progress);
}

#endif

ModelOpener::ModelOpener(const EngineSettings& settings, std::string state_dir)
    : settings_(settings), state_dir_(std::move(state_dir)), cpu_(ReadCpuBudget()) {}
ModelOpener::~ModelOpener() = default;

Status ModelOpener::SetMemory(uint64_t wanted_bytes) {
  auto limits = MemoryBudget::ChooseLimits(wanted_bytes, ReadMemoryState());
  RETURN_IF_ERROR(limits.status());
  budget_ = std::make_unique<MemoryBudget>(*std::move(limits));
  return OkStatus();
}

void ModelOpener::OnCpuBudget(const CpuBudget& budget) {
  const std::lock_guard lock(mutex_);
  cpu_ = budget;
  ApplyLocked();
}

}  // namespace pelton::app
