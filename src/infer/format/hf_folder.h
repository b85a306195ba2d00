// A Hugging Face folder as a model: config.json, tokenizer.json and the like as GGUF's metadata,
// safetensors under GGUF's tensor names (docs/formats/safetensors.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"

namespace pelton::format {

inline constexpr size_t kHfJsonBytesMax = size_t{4} << 20;        // of a configuration or an index
inline constexpr size_t kHfTokenizerBytesMax = size_t{64} << 20;  // of tokenizer.json

// Errors are one line that begins with the file's path.
Result<std::unique_ptr<ModelFile>> OpenHfFolder(const std::string& folder);

// The files that model.safetensors.index.json names, each once: plain names of this folder.
// INVALID_ARGUMENT for anything else.
Result<std::vector<std::string>> ReadHfIndex(std::string_view json);

// GGUF's name of a tensor of this architecture; empty for one that is to be left out (derived, or a
// tied head); the name itself when it is not known, so that the model refuses it by name.
std::string HfTensorName(std::string_view name, std::string_view architecture, bool tied);

}  // namespace pelton::format
