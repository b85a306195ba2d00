// What a model is called and where it is: entries of `models:` and --model flags, and the one rule by
// which a path from a request becomes a file.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::serving {

inline constexpr size_t kModelNameBytesMax = 128;
inline constexpr size_t kModelsMax = 64;
inline constexpr size_t kModelPathBytesMax = 1024;  // in a request

// One entry of `models:` and one --model flag.
struct ModelSource {
  std::string name;  // empty: from the path
  std::string path;  // a GGUF file, or sim:?…
  bool on_demand = false;

  template <typename V>
  void Fields(V& v) {
    v.Field("name", name, {.help = "Name that clients send as \"model\"; by default the file's."});
    v.Field("path", path, {.help = "Model file (GGUF), or sim: for a simulated model."});
    v.Field("on-demand", on_demand,
            {.help = "Load it with the first request instead of at the start."});
  }
  // "NAME=FILE" or "FILE". A name has letters, digits and . _ : / @ + - only.
  static Result<ModelSource> FromFlag(std::string_view word);
};

bool ValidModelName(std::string_view name);
// "dir/smollm.gguf" → "smollm"; "sim:?rate=5" → "sim".
std::string NameOfPath(std::string_view path);

// The file that a request may name: a regular *.gguf file inside one of `folders`, symbolic links
// followed on both sides. A relative path is looked for in each folder in turn. PERMISSION_DENIED
// for everything else, in words that do not tell whether such a file exists.
Result<std::string> FileBelow(std::span<const std::string> folders, std::string_view path);

}  // namespace pelton::serving
