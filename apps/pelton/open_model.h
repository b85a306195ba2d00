// Opens models for any command: a file on the own engine, or sim:.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "base/status.h"
#if PELTON_WITH_ENGINE
#include "backend/native/native_backend.h"
#endif

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

// Holds what the opened models share (worker team, kernel table) and so outlives them. The team
// starts with the first model that needs it. Owned by one thread.
class ModelOpener {
 public:
  ModelOpener(const EngineSettings& settings, std::string state_dir);
  ~ModelOpener();

  // `word`: a path, the name of a pulled model, or sim:?…
  Result<std::unique_ptr<backend::Backend>> Open(
      const std::string& word, std::function<void(uint64_t done, uint64_t total)> progress);

 private:
  struct Shared;
  const EngineSettings settings_;
  const std::string state_dir_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace pelton::app
