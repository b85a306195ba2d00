#include "open_model.h"

#include <utility>

#include "backend/sim/sim_backend.h"
#include "base/cpu.h"
#include "paths.h"
#if PELTON_WITH_ENGINE
#include "choose_kernels.h"
#endif

namespace pelton::app {

#if PELTON_WITH_ENGINE

struct ModelOpener::Shared {
  Shared(const nn::TeamOptions& options, const kernels::KernelTable& kernel_table)
      : team(options), table(kernel_table) {}
  nn::Team team;
  const kernels::KernelTable& table;
};

Result<std::unique_ptr<backend::Backend>> ModelOpener::Open(
    const std::string& word, std::function<void(uint64_t done, uint64_t total)> progress) {
  if (backend::IsSimUrl(word)) {
    auto options = backend::ParseSimUrl(word);
    if (!options.ok()) return options.status();
    return backend::MakeSimBackend(*options);
  }
  auto path = ResolveModel(word, state_dir_);
  if (!path.ok()) return path.status();
  if (!shared_) {
    auto table = ChooseKernels();
    if (!table.ok()) return table.status();
    const int threads = settings_.threads > 0 ? settings_.threads : ComputeThreadBudget();
    shared_ = std::make_unique<Shared>(
        nn::TeamOptions{.threads = threads, .pin = settings_.pin_threads}, **table);
  }
  return backend::LoadNative(*path, settings_, {shared_->team, shared_->table},
                             std::move(progress));
}

#else

struct ModelOpener::Shared {};

Result<std::unique_ptr<backend::Backend>> ModelOpener::Open(
    const std::string& word, std::function<void(uint64_t done, uint64_t total)>) {
  if (!backend::IsSimUrl(word)) {
    return Unimplemented("this build has no engine of its own; it can only open sim:");
  }
  auto options = backend::ParseSimUrl(word);
  if (!options.ok()) return options.status();
  return backend::MakeSimBackend(*options);
}

#endif

ModelOpener::ModelOpener(const EngineSettings& settings, std::string state_dir)
    : settings_(settings), state_dir_(std::move(state_dir)) {}
ModelOpener::~ModelOpener() = default;

}  // namespace pelton::app
