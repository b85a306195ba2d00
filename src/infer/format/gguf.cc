#include "format/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/checked.h"
#include "format/byte_reader.h"
#include "format/gguf_limits.h"

namespace pelton::format {
namespace {

using tensor::DType;

enum class ValueType : uint32_t {
  kU8 = 0, kI8 = 1, kU16 = 2, kI16 = 3, kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7,
  kString = 8, kArray = 9, kU64 = 10, kI64 = 11, kF64 = 12,
};

// Bytes an element takes in the file, at least (a string has its length); 0 for no element type.
uint64_t ElementBytesMin(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool: return 1;
    case ValueType::kU16:
    case ValueType::kI16: return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32: return 4;
    case ValueType::kString:
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64: return 8;
    case ValueType::kArray: return 0;
  }
  return 0;
}

bool Printable(std::string_view name) {
  return std::ranges::none_of(name, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

class Parser {
 public:
  explicit Parser(std::span<const std::byte> bytes) : bytes_(bytes), in_(bytes) {}

  Result<GgufContents> Parse() {
    RETURN_IF_ERROR(Header());
    for (uint64_t i = 0; i < key_count_; ++i) RETURN_IF_ERROR(KeyValue(i));
    RETURN_IF_ERROR(Alignment());
    out_.tensors.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) RETURN_IF_ERROR(TensorInfo(i));
    RETURN_IF_ERROR(PlaceTensors());
    return std::move(out_);
  }

 private:
  Status Header();
  Status Magic();
  Status KeyValue(uint64_t number);
  Status Value(ValueType type, const std::string& key, MetadataValue* out);
  Status Array(const std::string& key, MetadataValue* out);
  Status Alignment();
  Status TensorInfo(uint64_t number);
  Status TensorShape(const std::string& name, Tensor* out);
  Status TensorType(const std::string& name, Tensor* out);
  Status PlaceTensors();

  template <typename T, typename Wide>
  bool Scalar(MetadataValue* out) {
    T value{};
    if (!in_.Read(&value)) return false;
    *out = static_cast<Wide>(value);
    return true;
  }
  template <typename T, typename Wide>
  Status Elements(uint64_t count, const std::string& key, MetadataValue* out);
  Status Bools(uint64_t count, const std::string& key, MetadataValue* out);
  Status Strings(uint64_t count, const std::string& key, MetadataValue* out);
  bool String(uint64_t bytes_max, std::string_view* out, bool* too_long);

  Status EndsInside(const std::string& what) const {
    return InvalidArgument(fmt::format("the file ends inside {}", what));
  }

  const std::span<const std::byte> bytes_;
  ByteReader in_;
  uint64_t key_count_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t elements_left_ = kGgufArrayElementsMax;
  uint64_t alignment_ = kGgufAlignmentDefault;
  std::vector<uint64_t> offsets_;  // of tensors_[i] from the start of the data section
  std::set<std::string_view> names_;
  GgufContents out_;
};

// People hand over the wrong file more often than a damaged one; say what it looks like.
Status Parser::Magic() {
  std::string_view magic;
  if (!in_.Take(4, &magic)) return InvalidArgument("is too short to be a GGUF file");
  if (magic == "GGUF") return OkStatus();
  if (magic == "vers") return InvalidArgument("is a Git LFS pointer, not the model itself");
  if (magic == "<!DO" || magic == "<htm") return InvalidArgument("is a web page, not a model");
  if (magic.substr(0, 2) == "PK") {
    return Unimplemented("is a zip archive (a PyTorch checkpoint?), not a GGUF file");
  }
  for (const std::string_view old : {"lmgg", "fmgg", "tjgg", "algg"}) {
    if (magic == old) {
      return Unimplemented("is a GGML file from before GGUF; convert it to GGUF first");
    }
  }
  return InvalidArgument("is not a GGUF file (it does not begin with \"GGUF\")");
}

Status Parser::Header() {
  RETURN_IF_ERROR(Magic());
  uint32_t version = 0;
  if (!in_.Read(&version)) return EndsInside("the header");
  if ((version & 0xffffU) == 0 && version != 0) {
    return Unimplemented("is a big-endian GGUF file; Pelton reads little-endian ones");
  }
  if (version != 2 && version != 3) {
    return Unimplemented(fmt::format("is GGUF version {}; Pelton reads versions 2 and 3", version));
  }
  if (!in_.Read(&tensor_count_) || !in_.Read(&key_count_)) return EndsInside("the header");
  if (tensor_count_ > kGgufTensorsMax) {
    return InvalidArgument(
        fmt::format("claims {} tensors; at most {} are read", tensor_count_, kGgufTensorsMax));
  }
  if (key_count_ > kGgufKeysMax) {
    return InvalidArgument(
        fmt::format("claims {} metadata keys; at most {} are read", key_count_, kGgufKeysMax));
  }
  // Smallest entries: key length + type + one byte; name length, dims, one dim, type, offset.
  const uint64_t least = key_count_ * 13 + tensor_count_ * 32;  // both counts are bounded above
  if (least > in_.left()) {
    return InvalidArgument(fmt::format("claims {} metadata keys and {} tensors in {} bytes",
                                       key_count_, tensor_count_, bytes_.size()));
  }
  return OkStatus();
}

// False when the file ends, or with *too_long when the length itself is above `bytes_max`.
bool Parser::String(uint64_t bytes_max, std::string_view* out, bool* too_long) {
  uint64_t length = 0;
  *too_long = false;
  if (!in_.Read(&length)) return false;
  if (length > bytes_max) {
    *too_long = true;
    return false;
  }
  return in_.Take(length, out);
}

Status Parser::KeyValue(uint64_t number) {
  std::string_view key;
  bool too_long = false;
  if (!String(kGgufKeyBytesMax, &key, &too_long)) {
    if (!too_long) return EndsInside(fmt::format("metadata key number {}", number + 1));
    return InvalidArgument(fmt::format("metadata key number {} is longer than {} bytes", number + 1,
                                       kGgufKeyBytesMax));
  }
  const std::string shown = ShownName(key);
  if (key.empty() || !Printable(key)) {
    return InvalidArgument(fmt::format("metadata key number {} ('{}') is {}", number + 1, shown,
                                       key.empty() ? "empty" : "not printable text"));
  }
  if (out_.metadata.Has(key)) {
    return InvalidArgument(fmt::format("key {} occurs twice", shown)).WithParam(shown);
  }
  uint32_t type = 0;
  if (!in_.Read(&type)) return EndsInside("key " + shown);
  MetadataValue value;
  if (Status s = Value(static_cast<ValueType>(type), shown, &value); !s.ok()) {
    return std::move(s).WithParam(shown);
  }
  out_.metadata.Set(std::string(key), std::move(value));
  return OkStatus();
}

Status Parser::Value(ValueType type, const std::string& key, MetadataValue* out) {
  bool read = false;
  switch (type) {
    case ValueType::kU8: read = Scalar<uint8_t, uint64_t>(out); break;
    case ValueType::kI8: read = Scalar<int8_t, int64_t>(out); break;
    case ValueType::kU16: read = Scalar<uint16_t, uint64_t>(out); break;
    case ValueType::kI16: read = Scalar<int16_t, int64_t>(out); break;
    case ValueType::kU32: read = Scalar<uint32_t, uint64_t>(out); break;
    case ValueType::kI32: read = Scalar<int32_t, int64_t>(out); break;
    case ValueType::kU64: read = Scalar<uint64_t, uint64_t>(out); break;
    case ValueType::kI64: read = Scalar<int64_t, int64_t>(out); break;
    case ValueType::kF32: read = Scalar<float, double>(out); break;
    case ValueType::kF64: read = Scalar<double, double>(out); break;
    case ValueType::kBool: {
      uint8_t byte = 0;
      read = in_.Read(&byte);
      if (byte > 1) {
        return InvalidArgument(fmt::format("key {} is a truth value of {}, not 0 or 1", key, byte));
      }
      *out = byte != 0;
      break;
    }
    case ValueType::kString: {
      std::string_view text;
      bool too_long = false;
      read = String(kGgufStringBytesMax, &text, &too_long);
      if (too_long) {
        return InvalidArgument(
            fmt::format("key {} is a string of more than {} bytes", key, kGgufStringBytesMax));
      }
      *out = text;
      break;
    }
    case ValueType::kArray: return Array(key, out);
    default:
      return InvalidArgument(
          fmt::format("key {} has the unknown value type {}", key, static_cast<uint32_t>(type)));
  }
  return read ? OkStatus() : EndsInside("key " + key);
}

Status Parser::Array(const std::string& key, MetadataValue* out) {
  uint32_t type_number = 0;
  uint64_t count = 0;
  if (!in_.Read(&type_number) || !in_.Read(&count)) return EndsInside("key " + key);
  const auto type = static_cast<ValueType>(type_number);
  if (type == ValueType::kArray) {
    return Unimplemented(fmt::format("key {} is an array of arrays, which is not read", key));
  }
  const uint64_t element_bytes = ElementBytesMin(type);
  if (element_bytes == 0) {
    return InvalidArgument(
        fmt::format("key {} is an array of the unknown value type {}", key, type_number));
  }
  if (count > elements_left_) {
    return InvalidArgument(fmt::format("key {} claims {} elements; at most {} are read in a file",
                                       key, count, kGgufArrayElementsMax));
  }
  if (count > in_.left() / element_bytes) return EndsInside("key " + key);
  elements_left_ -= count;
  switch (type) {
    case ValueType::kU8: return Elements<uint8_t, int64_t>(count, key, out);
    case ValueType::kI8: return Elements<int8_t, int64_t>(count, key, out);
    case ValueType::kU16: return Elements<uint16_t, int64_t>(count, key, out);
    case ValueType::kI16: return Elements<int16_t, int64_t>(count, key, out);
    case ValueType::kU32: return Elements<uint32_t, int64_t>(count, key, out);
    case ValueType::kI32: return Elements<int32_t, int64_t>(count, key, out);
    case ValueType::kU64: return Elements<uint64_t, int64_t>(count, key, out);
    case ValueType::kI64: return Elements<int64_t, int64_t>(count, key, out);
    case ValueType::kF32: return Elements<float, double>(count, key, out);
    case ValueType::kF64: return Elements<double, double>(count, key, out);
    case ValueType::kBool: return Bools(count, key, out);
    case ValueType::kString: return Strings(count, key, out);
    case ValueType::kArray: break;  // answered above
  }
  return Internal("array type without a reader");
}

template <typename T, typename Wide>
Status Parser::Elements(uint64_t count, const std::string& key, MetadataValue* out) {
  std::string_view raw;
  const auto bytes = CheckedMul<uint64_t>(count, sizeof(T));
  if (!bytes || !in_.Take(*bytes, &raw)) return EndsInside("key " + key);
  std::vector<Wide> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    T value{};
    std::memcpy(&value, raw.data() + i * sizeof(T), sizeof(T));
    if constexpr (std::is_same_v<T, uint64_t>) {
      if (!CheckedCast<int64_t>(value)) {
        return InvalidArgument(fmt::format("key {} holds {}, which is too large", key, value));
      }
    }
    values[i] = static_cast<Wide>(value);
  }
  *out = std::move(values);
  return OkStatus();
}

Status Parser::Bools(uint64_t count, const std::string& key, MetadataValue* out) {
  std::string_view raw;
  if (!in_.Take(count, &raw)) return EndsInside("key " + key);
  std::vector<bool> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    if (static_cast<unsigned char>(raw[i]) > 1) {
      return InvalidArgument(fmt::format("key {} holds a truth value that is not 0 or 1", key));
    }
    values[i] = raw[i] != 0;
  }
  *out = std::move(values);
  return OkStatus();
}

Status Parser::Strings(uint64_t count, const std::string& key, MetadataValue* out) {
  std::vector<std::string_view> values(static_cast<size_t>(count));
  for (std::string_view& value : values) {
    bool too_long = false;
    if (String(kGgufStringBytesMax, &value, &too_long)) continue;
    if (!too_long) return EndsInside("key " + key);
    return InvalidArgument(
        fmt::format("key {} holds a string of more than {} bytes", key, kGgufStringBytesMax));
  }
  *out = std::move(values);
  return OkStatus();
}

Status Parser::Alignment() {
  const auto alignment = out_.metadata.UintOr("general.alignment", kGgufAlignmentDefault);
  if (!alignment.ok()) return alignment.status();
  const uint64_t a = *alignment;
  if (a < kGgufAlignmentMin || a > kGgufAlignmentMax || (a & (a - 1)) != 0) {
    return InvalidArgument(fmt::format("key general.alignment is {}; it must be a power of two of "
                                       "{} to {}", a, kGgufAlignmentMin, kGgufAlignmentMax))
        .WithParam("general.alignment");
  }
  alignment_ = a;
  return OkStatus();
}

Status Parser::TensorInfo(uint64_t number) {
  std::string_view raw_name;
  bool too_long = false;
  if (!String(kGgufTensorNameBytesMax, &raw_name, &too_long)) {
    if (!too_long) return EndsInside(fmt::format("the name of tensor number {}", number + 1));
    return InvalidArgument(fmt::format("the name of tensor number {} is longer than {} bytes",
                                       number + 1, kGgufTensorNameBytesMax));
  }
  const std::string name = ShownName(raw_name);
  if (raw_name.empty() || !Printable(raw_name)) {
    return InvalidArgument(fmt::format("the name of tensor number {} ('{}') is {}", number + 1,
                                       name, raw_name.empty() ? "empty" : "not printable text"));
  }
  if (!names_.insert(raw_name).second) {
    return InvalidArgument(fmt::format("tensor {} occurs twice", name)).WithParam(name);
  }
  Tensor tensor;
  tensor.name = std::string(raw_name);
  if (Status s = TensorShape(name, &tensor); !s.ok()) return std::move(s).WithParam(name);
  if (Status s = TensorType(name, &tensor); !s.ok()) return std::move(s).WithParam(name);
  uint64_t offset = 0;
  if (!in_.Read(&offset)) return EndsInside("tensor " + name);
  offsets_.push_back(offset);
  out_.tensors.push_back(std::move(tensor));
  return OkStatus();
}

Status Parser::TensorShape(const std::string& name, Tensor* out) {
  uint32_t dims = 0;
  if (!in_.Read(&dims)) return EndsInside("tensor " + name);
  if (dims == 0 || dims > kGgufDimsMax) {
    return InvalidArgument(
        fmt::format("tensor {} has {} dimensions; 1 to {} are read", name, dims, kGgufDimsMax));
  }
  int64_t elements = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    uint64_t size = 0;
    if (!in_.Read(&size)) return EndsInside("tensor " + name);
    const auto fitting = CheckedCast<int64_t>(size);
    const auto product = fitting ? CheckedMul(elements, *fitting) : std::nullopt;
    if (size == 0 || !product) {
      return InvalidArgument(fmt::format("tensor {} has the impossible size {} in dimension {}",
                                         name, size, i));
    }
    elements = *product;
    out->shape.insert(out->shape.begin(), *fitting);  // the file has the innermost first
  }
  return OkStatus();
}

Status Parser::TensorType(const std::string& name, Tensor* out) {
  uint32_t type = 0;
  if (!in_.Read(&type)) return EndsInside("tensor " + name);
  const std::optional<DType> dtype = tensor::DTypeFromGguf(type);
  if (!dtype) {
    return Unimplemented(fmt::format(
        "tensor {} has type {}, which Pelton does not read; re-quantise the model to one of Q4_0, "
        "Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, or store it as F32, F16 or BF16",
        name, tensor::GgufTypeName(type)));
  }
  out->dtype = *dtype;
  return OkStatus();
}

// Data of every tensor: aligned, inside the file, apart from all others.
Status Parser::PlaceTensors() {
  if (out_.tensors.empty()) return OkStatus();
  const auto data_start = CheckedAlignUp<uint64_t>(in_.position(), alignment_);
  if (!data_start || *data_start > bytes_.size()) return EndsInside("the padding before the data");
  const uint64_t data_bytes = bytes_.size() - *data_start;
  std::vector<size_t> order(out_.tensors.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
    Tensor& tensor = out_.tensors[i];
    const std::string name = ShownName(tensor.name);
    const auto inner = static_cast<uint64_t>(tensor.shape.back());
    const auto row_bytes = tensor::RowBytes(tensor.dtype, inner);
    if (!row_bytes && inner % tensor::InfoOf(tensor.dtype).block_elems != 0) {
      return InvalidArgument(fmt::format(
                 "tensor {} has rows of {} elements, which is not whole blocks of {} ({})", name,
                 inner, tensor::InfoOf(tensor.dtype).block_elems,
                 tensor::InfoOf(tensor.dtype).name)).WithParam(name);
    }
    const auto rows = static_cast<uint64_t>(tensor.elements()) / inner;
    const auto size = row_bytes ? CheckedMul(*row_bytes, rows) : std::nullopt;
    const uint64_t offset = offsets_[i];
    if (offset % alignment_ != 0) {
      return InvalidArgument(fmt::format("tensor {} begins at {}, which is not a multiple of the "
                                         "alignment {}", name, offset, alignment_)).WithParam(name);
    }
    if (!size || offset > data_bytes || *size > data_bytes - offset) {
      return InvalidArgument(fmt::format(
                 "the data of tensor {} ends behind the end of the file (offset {}, {} bytes, the "
                 "data section has {})", name, offset, size ? fmt::to_string(*size) : "over 2^64",
                 data_bytes)).WithParam(name);
    }
    tensor.offset = *data_start + offset;
    tensor.data = bytes_.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(*size));
  }
  std::ranges::sort(order, {}, [&](size_t i) { return out_.tensors[i].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const Tensor& before = out_.tensors[order[i - 1]];
    const Tensor& after = out_.tensors[order[i]];
    if (before.offset + before.data.size() > after.offset) {  // both lie inside the file
      return InvalidArgument(fmt::format("tensors {} and {} overlap", ShownName(before.name),
                                         ShownName(after.name))).WithParam(ShownName(after.name));
    }
  }
  return OkStatus();
}

}  // namespace

std::string ShownName(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (out.size() > kGgufShownNameBytesMax) return out + "…";
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out.push_back(c);
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

Result<GgufContents> ParseGguf(std::span<const std::byte> bytes) { return Parser(bytes).Parse(); }

}  // namespace pelton::format
