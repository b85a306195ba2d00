#include "format/gguf_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <type_traits>

#include "base/assert.h"
#include "base/checked.h"
#include "format/gguf.h"

namespace pelton::format {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kChunkBytes = uint64_t{4} << 20;

// Value type numbers of the specification.
constexpr uint32_t kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9, kU64 = 10,
                   kI64 = 11;

template <typename T>
void Put(std::string* out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

void PutString(std::string* out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  out->append(text);
}

void PutArrayHead(std::string* out, uint32_t type, size_t count) {
  Put(out, kArray);
  Put(out, type);
  Put<uint64_t>(out, count);
}

struct ValueWriter {
  std::string* out;

  void operator()(bool v) const {
    Put(out, kBool);
    Put<uint8_t>(out, v ? 1 : 0);
  }
  void operator()(uint64_t v) const {
    if (const auto narrow = CheckedCast<uint32_t>(v)) {
      Put(out, kU32);
      Put(out, *narrow);
    } else {
      Put(out, kU64);
      Put(out, v);
    }
  }
  void operator()(int64_t v) const {
    if (const auto narrow = CheckedCast<int32_t>(v)) {
      Put(out, kI32);
      Put(out, *narrow);
    } else {
      Put(out, kI64);
      Put(out, v);
    }
  }
  void operator()(double v) const {
    Put(out, kF32);
    Put(out, static_cast<float>(v));
  }
  void operator()(std::string_view v) const {
    Put(out, kString);
    PutString(out, v);
  }
  void operator()(const std::vector<bool>& values) const {
    PutArrayHead(out, kBool, values.size());
    for (const bool v : values) Put<uint8_t>(out, v ? 1 : 0);
  }
  void operator()(const std::vector<int64_t>& values) const {
    const bool narrow = std::ranges::all_of(
        values, [](int64_t v) { return CheckedCast<int32_t>(v).has_value(); });
    PutArrayHead(out, narrow ? kI32 : kI64, values.size());
    for (const int64_t v : values) {
      if (narrow) {
        Put(out, static_cast<int32_t>(v));
      } else {
        Put(out, v);
      }
    }
  }
  void operator()(const std::vector<double>& values) const {
    PutArrayHead(out, kF32, values.size());
    for (const double v : values) Put(out, static_cast<float>(v));
  }
  void operator()(const std::vector<std::string_view>& values) const {
    PutArrayHead(out, kString, values.size());
    for (const std::string_view v : values) PutString(out, v);
  }
};

uint64_t AlignUp(uint64_t v, uint64_t alignment) {
  const auto up = CheckedAlignUp(v, alignment);
  CHECK(up.has_value(), "sizes were checked when the tensor was added");
  return *up;
}

bool WriteAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

GgufWriter::GgufWriter(uint32_t alignment) : alignment_(alignment) {
  CHECK(alignment >= kGgufAlignmentMin && alignment <= kGgufAlignmentMax &&
            (alignment & (alignment - 1)) == 0, "alignment is a power of two within bounds");
  if (alignment != kGgufAlignmentDefault) Set("general.alignment", uint64_t{alignment});
}

void GgufWriter::Set(std::string key, MetadataValue value) {
  for (auto& [have, old] : values_) {
    if (have != key) continue;
    old = std::move(value);
    return;
  }
  values_.emplace_back(std::move(key), std::move(value));
}

Status GgufWriter::AddTensor(std::string name, tensor::DType dtype, std::vector<int64_t> shape,
                             Fill fill) {
  Entry entry{std::move(name), dtype, std::move(shape), data_bytes_, 0, 1, std::move(fill)};
  const std::string shown = ShownName(entry.name);
  if (entry.shape.empty() || entry.shape.size() > kGgufDimsMax) {
    return InvalidArgument(fmt::format("tensor {} has {} dimensions", shown, entry.shape.size()));
  }
  std::optional<int64_t> rows = 1;
  for (size_t i = 0; i + 1 < entry.shape.size() && rows; ++i) {
    rows = entry.shape[i] < 1 ? std::nullopt : CheckedMul(*rows, entry.shape[i]);
  }
  const int64_t inner = entry.shape.back();
  const auto row_bytes =
      inner < 1 ? std::nullopt : tensor::RowBytes(dtype, static_cast<uint64_t>(inner));
  const auto size =
      rows && row_bytes ? CheckedMul(*row_bytes, static_cast<uint64_t>(*rows)) : std::nullopt;
  const auto end = size ? CheckedAdd(data_bytes_, *size) : std::nullopt;
  const auto padded = end ? CheckedAlignUp<uint64_t>(*end, alignment_) : std::nullopt;
  if (!padded || !CheckedCast<int64_t>(*padded)) {
    return InvalidArgument(fmt::format("tensor {} has a shape that {} cannot hold", shown,
                                       tensor::InfoOf(dtype).name));
  }
  entry.rows = *rows;
  entry.row_bytes = *row_bytes;
  data_bytes_ = *padded;
  tensors_.push_back(std::move(entry));
  return OkStatus();
}

Status GgufWriter::AddTensor(std::string name, tensor::DType dtype, std::vector<int64_t> shape,
                             std::vector<std::byte> data) {
  const uint64_t given = data.size();
  const uint64_t data_bytes_before = data_bytes_;
  const std::string shown = ShownName(name);
  RETURN_IF_ERROR(AddTensor(std::move(name), dtype, std::move(shape), Fill()));
  Entry& entry = tensors_.back();
  const uint64_t wanted = entry.row_bytes * static_cast<uint64_t>(entry.rows);
  if (given != wanted) {
    tensors_.pop_back();
    data_bytes_ = data_bytes_before;
    return InvalidArgument(fmt::format("tensor {} needs {} bytes, not {}", shown, wanted, given));
  }
  entry.fill = [data = std::move(data), row_bytes = entry.row_bytes](int64_t first_row,
                                                                     std::span<std::byte> out) {
    std::memcpy(out.data(), data.data() + static_cast<uint64_t>(first_row) * row_bytes, out.size());
  };
  return OkStatus();
}

std::string GgufWriter::Header() const {
  std::string out = "GGUF";
  Put(&out, kVersion);
  Put<uint64_t>(&out, tensors_.size());
  Put<uint64_t>(&out, values_.size());
  for (const auto& [key, value] : values_) {
    PutString(&out, key);
    std::visit(ValueWriter{&out}, value);
  }
  for (const Entry& tensor : tensors_) {
    PutString(&out, tensor.name);
    Put(&out, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;)
      Put<uint64_t>(&out, static_cast<uint64_t>(tensor.shape[i]));
    Put(&out, tensor::GgufTypeOf(tensor.dtype));
    Put(&out, tensor.offset);
  }
  out.resize(AlignUp(out.size(), alignment_), '\0');
  return out;
}

bool GgufWriter::Stream(const Sink& sink) const {
  const std::string header = Header();
  if (!sink(std::as_bytes(std::span(header)))) return false;
  std::vector<std::byte> buffer;
  for (const Entry& tensor : tensors_) {
    const auto chunk_rows =
        static_cast<int64_t>(std::max<uint64_t>(1, kChunkBytes / tensor.row_bytes));
    for (int64_t row = 0; row < tensor.rows; row += chunk_rows) {
      const int64_t rows = std::min(chunk_rows, tensor.rows - row);
      buffer.assign(static_cast<uint64_t>(rows) * tensor.row_bytes, std::byte{0});
      tensor.fill(row, buffer);
      if (!sink(buffer)) return false;
    }
    const uint64_t size = tensor.row_bytes * static_cast<uint64_t>(tensor.rows);
    buffer.assign(AlignUp(size, alignment_) - size, std::byte{0});
    if (!sink(buffer)) return false;
  }
  return true;
}

uint64_t GgufWriter::file_bytes() const { return Header().size() + data_bytes_; }

std::vector<std::byte> GgufWriter::Bytes() const {
  std::vector<std::byte> out;
  Stream([&](std::span<const std::byte> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
    return true;
  });
  return out;
}

Status GgufWriter::Write(const std::string& path, const Progress& progress) const {
  const std::string partial = fmt::format("{}.{}.part", path, getpid());
  const int fd = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    return FailedPrecondition(
        fmt::format("{}: {}", partial, std::generic_category().message(errno)));
  }
  const uint64_t total = file_bytes();
  uint64_t done = 0;
  const bool written = Stream([&](std::span<const std::byte> bytes) {
    if (!WriteAll(fd, bytes)) return false;
    done += bytes.size();
    if (progress) progress(done, total);
    return true;
  });
  int error = written ? 0 : errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && rename(partial.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return OkStatus();
  unlink(partial.c_str());
  return FailedPrecondition(fmt::format("{}: {}", path, std::generic_category().message(error)));
}

}  // namespace pelton::format
