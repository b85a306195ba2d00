#include "paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>

namespace pelton::app {
namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool IsLaterShard(const std::string& name) {
  const size_t of = name.rfind("-of-");
  return of != std::string::npos && of >= 6 && name.substr(of - 5, 5) != "00001";
}

// A Hugging Face folder, pulled whole.
bool IsFolderModel(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "config.json", error) && fs::exists(folder / "tokenizer.json", error);
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Every word of "org/name:selection" must stand in the path of a pulled file.
std::vector<std::string> Matching(const std::vector<std::string>& pulled, const std::string& word) {
  const size_t colon = word.find(':');
  const std::string name = Lower(word.substr(0, colon));
  const std::string selection = colon == std::string::npos ? "" : Lower(word.substr(colon + 1));
  std::vector<std::string> out;
  for (const std::string& path : pulled) {
    const std::string low = Lower(path);
    if (low.find(name) != std::string::npos && low.find(selection) != std::string::npos) {
      out.push_back(path);
    }
  }
  return out;
}

// What `make serve` fetches.
std::string DefaultModel() {
  std::string cache = Variable("PELTON_CACHE");
  if (cache.empty() && !Variable("XDG_CACHE_HOME").empty()) {
    cache = Variable("XDG_CACHE_HOME") + "/pelton";
  }
  if (cache.empty()) cache = Variable("HOME") + "/.cache/pelton";
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(cache + "/models", error)) {
    if (entry.path().filename() == "SmolLM2-135M-Instruct.Q4_1.gguf") return entry.path().string();
  }
  return "";
}

}  // namespace

std::string StateDir(const std::string& option) {
  if (!option.empty()) return option;
  if (const std::string xdg = Variable("XDG_STATE_HOME"); !xdg.empty()) return xdg + "/pelton";
  if (const std::string home = Variable("HOME"); !home.empty()) return home + "/.local/state/pelton";
  return "pelton-state";
}

std::string PackedCacheDir(const std::string& option) {
  if (!option.empty()) return option;
  if (const std::string xdg = Variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/pelton/packed";
  if (const std::string home = Variable("HOME"); !home.empty()) return home + "/.cache/pelton/packed";
  return "off";
}

std::string ModelsDir(const std::string& state_dir) {
  return StateDir(state_dir) + "/models";
}

std::vector<std::string> PulledModels(const std::string& state_dir) {
  std::vector<std::string> found;
  std::error_code error;
  const std::string root = ModelsDir(state_dir);
  for (const auto& entry : fs::recursive_directory_iterator(root, error)) {
    const std::string name = entry.path().filename().string();
    const bool file = name.ends_with(".gguf") && !IsLaterShard(name.substr(0, name.size() - 5));
    if (file || (entry.is_directory(error) && IsFolderModel(entry.path()))) {
      found.push_back(fs::relative(entry.path(), root, error).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<std::string> ResolveModel(const std::string& word, const std::string& state_dir) {
  if (word.starts_with("sim:")) return word;
  std::error_code error;
  if (!word.empty() && fs::exists(word, error)) return word;
  const std::vector<std::string> pulled = PulledModels(state_dir);
  const std::vector<std::string> fits = Matching(pulled, word);
  if (fits.size() == 1) return ModelsDir(state_dir) + "/" + fits[0];
  if (word.empty() && fits.empty()) {
    if (const std::string path = DefaultModel(); !path.empty()) return path;
  }
  const std::string there =
      pulled.empty() ? "none is pulled yet" : fmt::format("pulled are: {}", fmt::join(pulled, ", "));
  if (fits.size() > 1) {
    return FailedPrecondition(fmt::format("several models fit '{}'; {}", word, there));
  }
  return NotFound(fmt::format("no model{} here; {}. Get one: pelton pull ORG/NAME:Q4_K_M, or give a "
                              ".gguf file or a folder", word.empty() ? "" : " '" + word + "'", there));
}

}  // namespace pelton::app
