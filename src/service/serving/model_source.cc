#include "serving/model_source.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace pelton::serving {
namespace {

namespace fs = std::filesystem;

// True when `path` is `folder` and at least one name more; both are canonical.
bool IsInside(const fs::path& folder, const fs::path& path) {
  const auto [at, in_path] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return at == folder.end() && in_path != path.end();
}

}  // namespace

bool ValidModelName(std::string_view name) {
  return !name.empty() && name.size() <= kModelNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || std::string_view("._:/@+-").find(static_cast<char>(c)) !=
                                              std::string_view::npos;
         });
}

std::string NameOfPath(std::string_view path) {
  if (path.starts_with("sim:")) return "sim";
  const size_t slash = path.rfind('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  if (path.ends_with(".gguf")) path.remove_suffix(5);
  std::string name(path);
  for (char& c : name) {
    if (!ValidModelName(std::string_view(&c, 1))) c = '_';
  }
  return name.substr(0, kModelNameBytesMax);
}

Result<ModelSource> ModelSource::FromFlag(std::string_view word) {
  ModelSource source;
  const size_t equals = word.find('=');
  // "sim:?rate=5" has '=' and no name; a name never has '?'.
  if (equals != std::string_view::npos && ValidModelName(word.substr(0, equals))) {
    source.name = word.substr(0, equals);
    word.remove_prefix(equals + 1);
  }
  if (word.empty()) return InvalidArgument("a model needs a file: [NAME=]FILE");
  source.path = word;
  return source;
}

Result<std::string> FileBelow(std::span<const std::string> folders, std::string_view path) {
  if (path.empty() || path.size() > kModelPathBytesMax || path.find('\0') != path.npos) {
    return std::move(InvalidArgument(fmt::format("\"path\" must have 1 to {} bytes",
                                                 kModelPathBytesMax))).WithParam("path");
  }
  if (folders.empty()) {
    return PermissionDenied("no folder is open to requests; start the server with --model-dir");
  }
  for (const std::string& folder : folders) {
    std::error_code error;
    const fs::path root = fs::canonical(folder, error);
    if (error) continue;
    const fs::path file = fs::canonical(root / fs::path(path), error);  // absolute paths stay
    if (error || !IsInside(root, file) || file.extension() != ".gguf") continue;
    if (fs::is_regular_file(file, error) && !error) return file.string();
  }
  return PermissionDenied("\"path\" is not a model file (*.gguf) in a folder of --model-dir");
}

}  // namespace pelton::serving
