// Writes GGUF v3 files: for tests, the random-weight generator and conversions.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "format/gguf_limits.h"
#include "format/model_file.h"

namespace pelton::format {

class GgufWriter {  // owned by one thread
 public:
  // Writes rows [first_row, …) of a tensor into `out`, which is whole rows (rows are the innermost
  // dimension). Called in order, once for every row, a few MiB at a time.
  using Fill = std::function<void(int64_t first_row, std::span<std::byte> out)>;
  using Progress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

  // alignment: within the bounds of gguf_limits.h; written as general.alignment unless the default.
  explicit GgufWriter(uint32_t alignment = kGgufAlignmentDefault);

  // Whole numbers become u32 or i32 when they fit (what other readers expect), numbers with a
  // fraction f32. Strings are not copied: they must live until the file is written. A key set again
  // replaces the value in its place.
  void Set(std::string key, MetadataValue value);
  // shape: outermost first, as in Tensor. INVALID_ARGUMENT for a shape that the type cannot hold.
  Status AddTensor(std::string name, tensor::DType dtype, std::vector<int64_t> shape, Fill fill);
  Status AddTensor(std::string name, tensor::DType dtype, std::vector<int64_t> shape,
                   std::vector<std::byte> data);

  uint64_t file_bytes() const;
  std::vector<std::byte> Bytes() const;  // the whole file in memory
  // Writes beside `path` first and renames, so that a half-written file never has the name.
  Status Write(const std::string& path, const Progress& progress = {}) const;

 private:
  struct Entry {
    std::string name;
    tensor::DType dtype;
    std::vector<int64_t> shape;
    uint64_t offset = 0;
    uint64_t row_bytes = 0;
    int64_t rows = 0;
    Fill fill;
  };
  using Sink = std::function<bool(std::span<const std::byte>)>;

  std::string Header() const;  // everything before the tensor data, padded
  bool Stream(const Sink& sink) const;

  uint32_t alignment_;
  uint64_t data_bytes_ = 0;
  std::vector<std::pair<std::string, MetadataValue>> values_;
  std::vector<Entry> tensors_;
};

}  // namespace pelton::format
