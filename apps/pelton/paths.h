// Where the program keeps what outlives it, and how a model's name on the command line becomes a
// file.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace pelton::app {

// The option --state-dir as given, or where it is empty $XDG_STATE_HOME/pelton, else
// ~/.local/state/pelton, else ./pelton-state.
std::string StateDir(const std::string& option);

// Folder of pulled models: <state>/models/<org>/<name>/<file>. `state_dir` is the option as given.
std::string ModelsDir(const std::string& state_dir);

// The option --packed-cache as given, or where it is empty $XDG_CACHE_HOME/pelton/packed, else
// ~/.cache/pelton/packed, else "off".
std::string PackedCacheDir(const std::string& option);

// GGUF files (first shards only) and Hugging Face folders that were pulled, as paths relative to ModelsDir, sorted.
std::vector<std::string> PulledModels(const std::string& state_dir);

// The file for a word on the command line: an existing path; "org/name[:selection]" or the end of a
// pulled file's name; "" the only pulled model, or the default model that `make serve` fetches. "sim:…"
// stays as it is. NOT_FOUND says what there is and how to get more.
Result<std::string> ResolveModel(const std::string& word, const std::string& state_dir);

}  // namespace pelton::app
