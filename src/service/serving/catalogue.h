// What is served: names and the backends behind them. Entries are fixed at start; each goes from
// loading to ready or failed once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "base/status.h"

namespace pelton::serving {

// One entry of `models:` and one --model flag.
struct ModelSource {
  std::string name;  // empty: from the path
  std::string path;  // a GGUF file, or sim:?…

  template <typename V>
  void Fields(V& v) {
    v.Field("name", name, {.help = "Name that clients send as \"model\"; by default the file's."});
    v.Field("path", path, {.help = "Model file (GGUF), or sim: for a simulated model."});
  }
  // "NAME=FILE" or "FILE". A name has letters, digits and . _ : / @ + - only.
  static Result<ModelSource> FromFlag(std::string_view word);
};

inline constexpr size_t kModelNameBytesMax = 128;
inline constexpr size_t kModelsMax = 64;

// "dir/smollm.gguf" → "smollm"; "sim:?rate=5" → "sim".
std::string NameOfPath(std::string_view path);

struct Served {  // constant once ready
  std::string name;
  std::string path;
  int64_t created_s = 0;  // wall clock, when it became ready
  std::shared_ptr<backend::Backend> backend;
};

class Catalogue {  // thread-safe
 public:
  using Opener = std::function<Result<std::unique_ptr<backend::Backend>>(const ModelSource&)>;

  // INVALID_ARGUMENT: no model, a name twice or malformed, too many.
  static Result<std::unique_ptr<Catalogue>> Make(std::vector<ModelSource> sources);

  // Opens every model in order; the first failure ends it (message has the model's name).
  // `loaded` is called after each.
  Status LoadAll(const Opener& open, const std::function<void(const Served&)>& loaded);

  // NOT_FOUND: no such model. UNAVAILABLE with retry-after: not loaded yet. An empty name means the
  // only model there is (INVALID_ARGUMENT naming "model" when there are several).
  Result<std::shared_ptr<const Served>> Find(std::string_view name) const;
  std::vector<std::shared_ptr<const Served>> Ready() const;
  bool AllReady() const;
  size_t size() const { return sources_.size(); }

  void CloseIntake();  // of every backend, also of those that become ready later

 private:
  explicit Catalogue(std::vector<ModelSource> sources)
      : sources_(std::move(sources)), served_(sources_.size()) {}

  const std::vector<ModelSource> sources_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const Served>> served_;  // guarded by mutex_; null while loading
  bool closed_ = false;                                // guarded by mutex_
};

}  // namespace pelton::serving
