// A model on disk as the rest of the engine sees it: typed metadata and mapped tensors under GGUF's
// key and tensor names. The room knows files, never models. Nothing in a file is trusted: every
// count, offset, type and size is checked before anything is allocated or read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "tensor/dtype.h"

namespace pelton::format {

// Strings and string arrays point into the mapped file and live as long as the ModelFile.
using MetadataValue =
    std::variant<bool, uint64_t, int64_t, double, std::string_view, std::vector<bool>,
                 std::vector<int64_t>, std::vector<double>, std::vector<std::string_view>>;

// Immutable after construction; thread-safe. A missing key is NOT_FOUND, a key of another type or
// out of the asked range INVALID_ARGUMENT; both messages name the key.
class Metadata {
 public:
  void Set(std::string key, MetadataValue value);  // while building only
  bool Has(std::string_view key) const;
  const MetadataValue* Find(std::string_view key) const;

  Result<bool> Bool(std::string_view key) const;
  Result<uint64_t> Uint(std::string_view key) const;  // any integer type, not negative
  Result<double> Float(std::string_view key) const;   // finite
  Result<std::string_view> String(std::string_view key) const;
  Result<std::span<const std::string_view>> Strings(std::string_view key) const;
  Result<std::span<const double>> Floats(std::string_view key) const;
  Result<std::span<const int64_t>> Ints(std::string_view key) const;

  // The value, or `fallback` when the key is missing; a key of the wrong type is still an error.
  Result<bool> BoolOr(std::string_view key, bool fallback) const;
  Result<uint64_t> UintOr(std::string_view key, uint64_t fallback) const;
  Result<double> FloatOr(std::string_view key, double fallback) const;
  Result<std::string_view> StringOr(std::string_view key, std::string_view fallback) const;

  const std::map<std::string, MetadataValue, std::less<>>& all() const { return values_; }

 private:
  std::map<std::string, MetadataValue, std::less<>> values_;
};

struct Tensor {
  std::string name;
  tensor::DType dtype = tensor::DType::kF32;
  // Row-major, outermost first: a linear layer is [out_features, in_features]. At most 4 dims, each
  // at least 1, product checked to fit; innermost is a multiple of the block.
  std::vector<int64_t> shape;
  std::span<const std::byte> data;  // exactly the tensor's bytes, inside the mapping
  uint32_t file = 0;                // index into ModelFile::files
  uint64_t offset = 0;              // of `data` in that file, for dropping pages

  int64_t elements() const;
};

class ModelFile {  // immutable after opening; thread-safe
 public:
  // Reads GGUF v2 or v3, for "…-00001-of-0000N.gguf" all shards beside it; or a Hugging Face folder
  // (hf_folder.h). Errors are one line that names file and tensor or key.
  static Result<std::unique_ptr<ModelFile>> Open(const std::string& path);

  const Metadata& metadata() const { return metadata_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  const Tensor* Find(std::string_view name) const;
  // The tensor with exactly this shape, or an error naming it and both shapes (not the file: as
  // with Metadata, the caller knows it).
  Result<const Tensor*> Require(std::string_view name, std::span<const int64_t> shape) const;

  uint64_t total_bytes() const;  // of all shards
  const std::string& path() const { return path_; }
  std::span<const MappedFile> files() const { return files_; }
  // These bytes of a tensor are not needed any more (they have been packed): their pages go.
  void DropPages(std::span<const std::byte> data) const;

  ModelFile() = default;  // for readers of this room; use Open

 private:
  friend class ModelFileBuilder;
  friend class HfFolderBuilder;
  std::string path_;
  std::vector<MappedFile> files_;
  Metadata metadata_;
  std::vector<Tensor> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::shared_ptr<const void> owned_;  // what metadata and tensors point to that lies in no file
};

}  // namespace pelton::format
