#include "format/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "base/checked.h"
#include "codec/json.h"
#include "format/gguf.h"
#include "format/gguf_limits.h"

namespace pelton::format {
namespace {

using codec::Json;

struct Range {
  uint64_t begin = 0, end = 0;
};

Status Wrong(std::string_view name, std::string_view what) {
  return InvalidArgument(fmt::format("tensor {}: {}", ShownName(name), what));
}

std::optional<tensor::DType> TypeOf(std::string_view name) {
  if (name == "F32") return tensor::DType::kF32;
  if (name == "F16") return tensor::DType::kF16;
  if (name == "BF16") return tensor::DType::kBF16;
  return std::nullopt;
}

Status CheckName(std::string_view name) {
  const bool plain = std::ranges::all_of(name, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!name.empty() && name.size() <= kGgufTensorNameBytesMax && plain) return OkStatus();
  return InvalidArgument(fmt::format("a tensor is called \"{}\"; 1 to {} printable characters are read",
                                     ShownName(name), kGgufTensorNameBytesMax));
}

// Elements of the shape; every dimension at least 1, the product within 63 bits.
Result<int64_t> ReadShape(std::string_view name, const Json* json, std::vector<int64_t>& shape) {
  const Json::Array* sizes = json == nullptr ? nullptr : json->AsArray();
  if (sizes == nullptr) return Wrong(name, "shape is not an array");
  if (sizes->empty() || sizes->size() > kGgufDimsMax) {
    return Wrong(name, fmt::format("{} dimensions; 1 to {} are read", sizes->size(), kGgufDimsMax));
  }
  int64_t product = 1;
  for (const Json& size : *sizes) {
    const auto value = size.AsInt();
    const auto next = value && *value > 0 ? CheckedMul(product, *value) : std::nullopt;
    if (!next) return Wrong(name, "a dimension that cannot be");
    product = *next;
    shape.push_back(*value);
  }
  return product;
}

Result<Range> ReadRange(std::string_view name, const Json* json, uint64_t data_bytes) {
  const Json::Array* pair = json == nullptr ? nullptr : json->AsArray();
  if (pair == nullptr || pair->size() != 2) return Wrong(name, "data_offsets is not a pair");
  const auto begin = (*pair)[0].AsUint(), end = (*pair)[1].AsUint();
  if (!begin || !end || *begin > *end || *end > data_bytes) {
    return Wrong(name, fmt::format("data_offsets outside the {} bytes of data", data_bytes));
  }
  return Range{*begin, *end};
}

// One member of the header; `range` is where its data lies.
Result<Tensor> ReadTensor(const std::string& name, const Json& json, uint64_t data_bytes, Range* range) {
  RETURN_IF_ERROR(CheckName(name));
  if (json.AsObject() == nullptr || json.AsObject()->size() != 3) {
    return Wrong(name, "not exactly dtype, shape and data_offsets");
  }
  const Json* type_json = json.Find("dtype");
  const std::string* type = type_json == nullptr ? nullptr : type_json->AsString();
  if (type == nullptr) return Wrong(name, "dtype is not a string");
  const auto dtype = TypeOf(*type);
  if (!dtype) {
    return Unimplemented(fmt::format("tensor {} has type {}; F32, F16 and BF16 are read",
                                     ShownName(name), ShownName(*type)));
  }
  Tensor tensor;
  tensor.name = name;
  tensor.dtype = *dtype;
  const auto elements = ReadShape(name, json.Find("shape"), tensor.shape);
  RETURN_IF_ERROR(elements.status());
  const auto read = ReadRange(name, json.Find("data_offsets"), data_bytes);
  RETURN_IF_ERROR(read.status());
  const auto bytes = CheckedMul(static_cast<uint64_t>(*elements),
                                uint64_t{tensor::InfoOf(*dtype).block_bytes});
  if (!bytes || *bytes != read->end - read->begin) {
    return Wrong(name, fmt::format("{} bytes, which is not its shape in {}", read->end - read->begin, *type));
  }
  *range = *read;
  return tensor;
}

}  // namespace

Result<std::vector<Tensor>> ParseSafetensors(std::span<const std::byte> bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) return InvalidArgument("not a safetensors file: too short");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  if (header_bytes > bytes.size() - sizeof header_bytes || header_bytes > kSafetensorsHeaderBytesMax) {
    return InvalidArgument(fmt::format("not a safetensors file: a header of {} bytes", header_bytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof header_bytes,
                              static_cast<size_t>(header_bytes));
  // Depth: the object, a tensor, its shape. Values: ten a tensor.
  const auto header = codec::ParseJson(text, {.depth_max = 4, .bytes_max = kSafetensorsHeaderBytesMax,
                                              .values_max = 16 * kGgufTensorsMax});
  if (!header.ok()) return header.status().Prefixed("the header");
  const Json::Object* members = header->AsObject();
  if (members == nullptr) return InvalidArgument("the header is not an object");
  const std::span<const std::byte> data = bytes.subspan(sizeof header_bytes + text.size());
  std::vector<Tensor> tensors;
  std::vector<Range> ranges;
  for (const auto& [name, json] : *members) {
    if (name == "__metadata__") continue;  // for people
    if (tensors.size() >= kGgufTensorsMax) {
      return InvalidArgument(fmt::format("more than {} tensors", kGgufTensorsMax));
    }
    Range range;
    auto tensor = ReadTensor(name, json, data.size(), &range);
    RETURN_IF_ERROR(tensor.status());
    tensor->data = data.subspan(static_cast<size_t>(range.begin), static_cast<size_t>(range.end - range.begin));
    tensor->offset = static_cast<uint64_t>(tensor->data.data() - bytes.data());
    tensors.push_back(*std::move(tensor));
    ranges.push_back(range);
  }
  // Every byte of the data belongs to one tensor.
  std::ranges::sort(ranges, {}, &Range::begin);
  uint64_t expected = 0;
  for (const Range& range : ranges) {
    if (range.begin != expected) {
      return InvalidArgument(fmt::format("tensors overlap or leave a gap at {} of the data", range.begin));
    }
    expected = range.end;
  }
  if (expected != data.size()) {
    return InvalidArgument(fmt::format("{} bytes of data, of which tensors have {}", data.size(), expected));
  }
  return tensors;
}

}  // namespace pelton::format
