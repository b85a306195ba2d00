#include "format/model_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>

#include "base/checked.h"
#include "format/gguf.h"
#include "format/gguf_limits.h"
#include "format/hf_folder.h"
#include "format/shards.h"

namespace pelton::format {
namespace {

constexpr const char* kKindNames[] = {
    "a truth value", "a whole number", "a whole number", "a number",
    "a string",      "an array of truth values", "an array of whole numbers",
    "an array of numbers", "an array of strings"};
static_assert(std::size(kKindNames) == std::variant_size_v<MetadataValue>);

Status Missing(std::string_view key) {
  const std::string shown = ShownName(key);
  return NotFound(fmt::format("key {} is missing", shown)).WithParam(shown);
}

Status WrongType(std::string_view key, const MetadataValue& value, const char* wanted) {
  const std::string shown = ShownName(key);
  return InvalidArgument(fmt::format("key {} is {}, not {}", shown, kKindNames[value.index()],
                                     wanted)).WithParam(shown);
}

// The alternative T of the value, or why not.
template <typename T>
Result<const T*> Get(const Metadata& metadata, std::string_view key, const char* wanted) {
  const MetadataValue* value = metadata.Find(key);
  if (value == nullptr) return Missing(key);
  const T* typed = std::get_if<T>(value);
  if (typed == nullptr) return WrongType(key, *value, wanted);
  return typed;
}

}  // namespace

void Metadata::Set(std::string key, MetadataValue value) {
  values_.insert_or_assign(std::move(key), std::move(value));
}

bool Metadata::Has(std::string_view key) const { return values_.contains(key); }

const MetadataValue* Metadata::Find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

Result<bool> Metadata::Bool(std::string_view key) const {
  const auto value = Get<bool>(*this, key, "a truth value");
  if (!value.ok()) return value.status();
  return **value;
}

Result<uint64_t> Metadata::Uint(std::string_view key) const {
  const MetadataValue* value = Find(key);
  if (value == nullptr) return Missing(key);
  if (const auto* u = std::get_if<uint64_t>(value)) return *u;
  const auto* i = std::get_if<int64_t>(value);
  if (i == nullptr) return WrongType(key, *value, "a whole number");
  if (*i < 0) {
    return InvalidArgument(fmt::format("key {} is {}, which must not be negative", ShownName(key),
                                       *i)).WithParam(ShownName(key));
  }
  return static_cast<uint64_t>(*i);
}

Result<double> Metadata::Float(std::string_view key) const {
  const auto value = Get<double>(*this, key, "a number with a fraction");
  if (!value.ok()) return value.status();
  if (!std::isfinite(**value)) {
    return InvalidArgument(fmt::format("key {} is {}, not a finite number", ShownName(key),
                                       **value)).WithParam(ShownName(key));
  }
  return **value;
}

Result<std::string_view> Metadata::String(std::string_view key) const {
  const auto value = Get<std::string_view>(*this, key, "a string");
  if (!value.ok()) return value.status();
  return **value;
}

Result<std::span<const std::string_view>> Metadata::Strings(std::string_view key) const {
  const auto value = Get<std::vector<std::string_view>>(*this, key, "an array of strings");
  if (!value.ok()) return value.status();
  return std::span(**value);
}

Result<std::span<const double>> Metadata::Floats(std::string_view key) const {
  const auto value = Get<std::vector<double>>(*this, key, "an array of numbers");
  if (!value.ok()) return value.status();
  return std::span(**value);
}

Result<std::span<const int64_t>> Metadata::Ints(std::string_view key) const {
  const auto value = Get<std::vector<int64_t>>(*this, key, "an array of whole numbers");
  if (!value.ok()) return value.status();
  return std::span(**value);
}

Result<bool> Metadata::BoolOr(std::string_view key, bool fallback) const {
  return Has(key) ? Bool(key) : Result<bool>(fallback);
}

Result<uint64_t> Metadata::UintOr(std::string_view key, uint64_t fallback) const {
  return Has(key) ? Uint(key) : Result<uint64_t>(fallback);
}

Result<double> Metadata::FloatOr(std::string_view key, double fallback) const {
  return Has(key) ? Float(key) : Result<double>(fallback);
}

Result<std::string_view> Metadata::StringOr(std::string_view key, std::string_view fallback) const {
  return Has(key) ? String(key) : Result<std::string_view>(fallback);
}

int64_t Tensor::elements() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;  // the reader has checked that it fits
  return product;
}

// Puts files together into one model; the only writer of a ModelFile.
class ModelFileBuilder {
 public:
  explicit ModelFileBuilder(std::string path) : model_(std::make_unique<ModelFile>()) {
    model_->path_ = std::move(path);
  }

  // Maps and reads one file. The metadata of the first file is the model's; of later ones only the
  // split keys count. `count` is how many files there are, as the name says.
  Status AddFile(const std::string& path, uint32_t count);
  Result<std::unique_ptr<ModelFile>> Finish();

 private:
  Status CheckSplit(const Metadata& metadata, uint32_t count);

  std::unique_ptr<ModelFile> model_;
  uint64_t tensors_claimed_ = 0;  // split.tensors.count of the first file; 0 when it has none
};

Status ModelFileBuilder::CheckSplit(const Metadata& metadata, uint32_t count) {
  const auto index = static_cast<uint64_t>(model_->files_.size());
  const auto split_count = metadata.UintOr("split.count", 0);
  if (!split_count.ok()) return split_count.status();
  if (*split_count <= 1 && count == 1) return OkStatus();
  if (*split_count != count) {
    return InvalidArgument(fmt::format(
        "key split.count says {} files, the name says {} (shards are named "
        "NAME-00001-of-0000N.gguf and lie side by side)", *split_count, count))
        .WithParam("split.count");
  }
  const auto number = metadata.Uint("split.no");
  if (!number.ok()) return number.status();
  if (*number != index) {
    return InvalidArgument(fmt::format("key split.no is {}, but this is shard {} counted from 0",
                                       *number, index)).WithParam("split.no");
  }
  if (index > 0) return OkStatus();
  const auto claimed = metadata.UintOr("split.tensors.count", 0);
  if (!claimed.ok()) return claimed.status();
  tensors_claimed_ = *claimed;
  return OkStatus();
}

Status ModelFileBuilder::AddFile(const std::string& path, uint32_t count) {
  auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  auto contents = ParseGguf(file->bytes());
  if (!contents.ok()) return contents.status().Prefixed(path);
  if (Status s = CheckSplit(contents->metadata, count); !s.ok()) return s.Prefixed(path);
  const auto file_index = static_cast<uint32_t>(model_->files_.size());
  if (file_index == 0) model_->metadata_ = std::move(contents->metadata);
  for (Tensor& tensor : contents->tensors) {
    if (model_->tensors_.size() >= kGgufTensorsMax) {
      return InvalidArgument(
          fmt::format("{}: the model has more than {} tensors", path, kGgufTensorsMax));
    }
    tensor.file = file_index;
    if (!model_->index_.emplace(tensor.name, model_->tensors_.size()).second) {
      return InvalidArgument(fmt::format("{}: tensor {} is in an earlier shard too", path,
                                         ShownName(tensor.name))).WithParam(ShownName(tensor.name));
    }
    model_->tensors_.push_back(std::move(tensor));
  }
  model_->files_.push_back(std::move(*file));
  return OkStatus();
}

Result<std::unique_ptr<ModelFile>> ModelFileBuilder::Finish() {
  if (tensors_claimed_ != 0 && tensors_claimed_ != model_->tensors_.size()) {
    return InvalidArgument(
               fmt::format("{}: key split.tensors.count says {} tensors, the shards have {}",
                           model_->path_, tensors_claimed_, model_->tensors_.size()))
        .WithParam("split.tensors.count");
  }
  return std::move(model_);
}

Result<std::unique_ptr<ModelFile>> ModelFile::Open(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return OpenHfFolder(path);
  const std::optional<ShardName> shard = ParseShardName(path);
  const uint32_t count = shard ? shard->count : 1;
  if (shard) {
    if (count == 0 || count > kGgufShardsMax || shard->number == 0 || shard->number > count) {
      return InvalidArgument(fmt::format("{}: shard {} of {}; at most {} shards are read", path,
                                         shard->number, count, kGgufShardsMax));
    }
    if (shard->number != 1) {
      return InvalidArgument(fmt::format("{}: is shard {} of {}; open the first one, {}", path,
                                         shard->number, count, shard->Path(1)));
    }
  }
  ModelFileBuilder builder(path);
  for (uint32_t i = 1; i <= count; ++i) {
    RETURN_IF_ERROR(builder.AddFile(shard ? shard->Path(i) : path, count));
  }
  return builder.Finish();
}

const Tensor* ModelFile::Find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

Result<const Tensor*> ModelFile::Require(std::string_view name,
                                         std::span<const int64_t> shape) const {
  const Tensor* tensor = Find(name);
  const std::string shown = ShownName(name);
  if (tensor == nullptr) {
    return NotFound(fmt::format("tensor {} is missing", shown)).WithParam(shown);
  }
  if (!std::ranges::equal(tensor->shape, shape)) {
    return InvalidArgument(fmt::format("tensor {} has shape [{}], not [{}]", shown,
                                       fmt::join(tensor->shape, ", "), fmt::join(shape, ", ")))
        .WithParam(shown);
  }
  return tensor;
}

uint64_t ModelFile::total_bytes() const {
  uint64_t sum = 0;
  for (const MappedFile& file : files_) sum += file.bytes().size();
  return sum;
}

void ModelFile::DropPages(std::span<const std::byte> data) const {
  for (const MappedFile& file : files_) {
    const std::span<const std::byte> all = file.bytes();
    if (data.empty() || data.data() < all.data() || data.data() >= all.data() + all.size()) continue;
    file.DropPages(static_cast<size_t>(data.data() - all.data()), data.size());
  }
}

}  // namespace pelton::format
