// The two threads that do what the catalogue wants: "load" opens models and ends those that nobody
// uses, one at a time; "fleet" tells waiting requests how it goes and unloads idle models.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "backend/backend.h"
#include "base/status.h"
#include "serving/catalogue.h"

namespace pelton::serving {

class Fleet {  // thread-safe; the catalogue outlives it
 public:
  // Opens a model; runs on "load", as long as it takes. RESOURCE_EXHAUSTED makes idle models leave
  // where the job allows it, then it is called again.
  using Opener = std::function<Result<std::unique_ptr<backend::Backend>>(const LoadJob&)>;
  // Called on "load" when a model has been opened and before any request gets it.
  using Loaded = std::function<void(const std::string& name)>;

  static constexpr int kTickMs = 250;
  static constexpr int kTicksPerProgress = 4;  // waiting requests hear once a second

  Fleet(Catalogue& catalogue, Opener open, Loaded loaded);
  ~Fleet();  // waits for a load that is under way

 private:
  void RunJob(const LoadJob& job);

  Catalogue& catalogue_;
  const Opener open_;
  const Loaded loaded_;
  std::jthread fleet_;
  std::jthread load_;
};

}  // namespace pelton::serving
