// What commands need that run a model in this process without serving: file, team, kernels, weights.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "format/model_file.h"
#include "kernels/kernels.h"
#include "models/model.h"
#include "nn/team.h"

namespace pelton::app {

struct LocalModel {
  std::unique_ptr<format::ModelFile> file;
  const kernels::KernelTable* table = nullptr;
  std::unique_ptr<nn::Team> team;
  std::shared_ptr<models::Model> model;
  int64_t load_ms = 0;
};

// threads 0: the budget of affinity and quota. Shows a progress bar when loading takes long.
Result<LocalModel> LoadLocalModel(const std::string& path, int threads,
                                  bool batch_invariant = false);

}  // namespace pelton::app
