#include "local_model.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "choose_kernels.h"
#include "progress.h"

namespace pelton::app {

Result<LocalModel> LoadLocalModel(const std::string& path, int threads, bool batch_invariant) {
  LocalModel local;
  const int64_t start_ns = NowNs();
  auto table = ChooseKernels();
  if (!table.ok()) return table.status();
  local.table = *table;
  auto file = format::ModelFile::Open(path);
  if (!file.ok()) return file.status();
  local.file = std::move(file).value();
  local.team = std::make_unique<nn::Team>(
      nn::TeamOptions{.threads = threads > 0 ? threads : ComputeThreadBudget()});
  ProgressBar bar("loading");
  const auto progress = [&](uint64_t done, uint64_t total) {
    if (NowNs() - start_ns > 1'000'000'000) bar.Show(done, total);
  };
  auto model = models::LoadModel(*local.file, {.table = local.table, .progress = progress,
                                               .batch_invariant = batch_invariant},
                                 *local.team);
  if (!model.ok()) return model.status().Prefixed(path);
  local.model = std::move(model).value();
  local.load_ms = (NowNs() - start_ns) / 1'000'000;
  return local;
}

}  // namespace pelton::app
