// Any bytes into the GGUF reader: an answer or a one-line error, every view inside the input, every
// tensor as large as its shape says.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "format/gguf.h"
#include "tensor/dtype.h"

namespace {

using pelton::format::GgufContents;
using pelton::format::Metadata;
using pelton::format::MetadataValue;
using pelton::format::Tensor;

void Require(bool holds) {
  if (!holds) std::abort();
}

struct Input {
  const char* begin;
  const char* end;

  void Holds(std::string_view view) const {
    if (view.empty()) return;
    Require(view.data() >= begin && view.data() + view.size() <= end);
  }
};

void CheckValue(const Metadata& metadata, const std::string& key, const MetadataValue& value,
                const Input& input) {
  if (const auto* text = std::get_if<std::string_view>(&value)) input.Holds(*text);
  if (const auto* texts = std::get_if<std::vector<std::string_view>>(&value)) {
    for (const std::string_view text : *texts) input.Holds(text);
  }
  const int kinds = metadata.Bool(key).ok() + metadata.Uint(key).ok() + metadata.Float(key).ok() +
                    metadata.String(key).ok() + metadata.Strings(key).ok() +
                    metadata.Floats(key).ok() + metadata.Ints(key).ok();
  Require(kinds <= 1);
}

void CheckTensor(const Tensor& tensor, const Input& input) {
  input.Holds({reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()});
  Require(!tensor.shape.empty() && tensor.shape.size() <= 4);
  const int64_t inner = tensor.shape.back();
  const auto row = pelton::tensor::RowBytes(tensor.dtype, static_cast<uint64_t>(inner));
  Require(row.has_value() && inner > 0);
  Require(*row * static_cast<uint64_t>(tensor.elements() / inner) == tensor.data.size());
  const auto& info = pelton::tensor::InfoOf(tensor.dtype);
  float out[256];
  pelton::tensor::DequantizeRow(tensor.dtype, tensor.data.last(info.block_bytes).data(),
                                info.block_elems, out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  const Input input{reinterpret_cast<const char*>(data),
                    reinterpret_cast<const char*>(data) + size};
  const pelton::Result<GgufContents> got = pelton::format::ParseGguf(bytes);
  if (!got.ok()) {
    const std::string& message = got.status().message();
    Require(!message.empty() && message.size() < 512);
    Require(std::ranges::none_of(message,
                                 [](char c) { return c == '\n' || c == '\0' || c == '\x1b'; }));
    return 0;
  }
  for (const auto& [key, value] : got->metadata.all()) CheckValue(got->metadata, key, value, input);
  size_t total = 0;
  for (const Tensor& tensor : got->tensors) {
    CheckTensor(tensor, input);
    total += tensor.data.size();
  }
  Require(total <= size);  // no two tensors share a byte
  return 0;
}
