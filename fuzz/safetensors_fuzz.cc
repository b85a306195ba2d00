// Any bytes into the readers of a Hugging Face folder: as a safetensors file, as an index, and as the
// JSON files that describe a model. Tensors lie inside the input and apart; errors are one line.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "codec/json.h"
#include "format/hf_folder.h"
#include "format/hf_json.h"
#include "format/safetensors.h"

namespace {

namespace format = pelton::format;

void Require(bool holds) {
  if (!holds) std::abort();
}

void OneLine(const pelton::Status& status) {
  const std::string& message = status.message();
  Require(!message.empty() && message.size() < 1024);
  Require(std::ranges::none_of(message, [](char c) { return c == '\n' || c == '\0' || c == '\x1b'; }));
}

void CheckTensors(std::span<const std::byte> bytes) {
  const auto tensors = format::ParseSafetensors(bytes);
  if (!tensors.ok()) return OneLine(tensors.status());
  size_t total = 0;
  for (const format::Tensor& tensor : *tensors) {
    Require(tensor.data.data() >= bytes.data() &&
            tensor.data.data() + tensor.data.size() <= bytes.data() + bytes.size());
    const auto row = pelton::tensor::RowBytes(tensor.dtype, static_cast<uint64_t>(tensor.elements()));
    Require(row && *row == tensor.data.size() && tensor.elements() > 0);
    format::HfTensorName(tensor.name, "llama", true);
    format::HfTensorName(tensor.name, "gemma3", false);
    format::HfTensorName(tensor.name, "olmo2", false);
    total += tensor.data.size();
  }
  Require(total <= bytes.size());
}

void CheckJson(std::string_view text) {
  if (const auto index = format::ReadHfIndex(text); index.ok()) {
    for (const std::string& name : *index) {
      Require(name.find('/') == std::string::npos && name.find("..") != 0 && !name.empty());
    }
  } else {
    OneLine(index.status());
  }
  const auto json = pelton::codec::ParseJson(text, {.depth_max = 32, .bytes_max = 1 << 20, .values_max = 100000});
  if (!json.ok()) return;
  format::HfStore store;
  format::Metadata metadata;
  if (const auto model = format::ReadHfConfig(*json, store, metadata); !model.ok()) OneLine(model.status());
  format::ReadHfGeneration(*json, metadata);
  const pelton::Status read = format::ReadHfTokenizer(
      {.tokenizer = &*json, .tokenizer_config = &*json, .config = &*json, .generation = &*json, .chat_template = {}},
      store, metadata);
  if (!read.ok()) OneLine(read);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  CheckTensors(std::as_bytes(std::span(data, size)));
  CheckJson({reinterpret_cast<const char*>(data), size});
  return 0;
}
