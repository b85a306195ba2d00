#include "format/hf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "codec/json.h"
#include "codec/utf8.h"
#include "format/gguf.h"
#include "format/gguf_limits.h"
#include "format/hf_json.h"
#include "format/safetensors.h"

namespace pelton::format {
namespace {

using codec::Json;
namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".safetensors";

std::string_view TextIn(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// Nothing when there is no such file.
Result<std::optional<MappedFile>> OpenSmall(const std::string& path, size_t bytes_max) {
  auto file = MappedFile::Open(path);
  if (file.status().code() == StatusCode::kNotFound) return std::optional<MappedFile>();
  if (!file.ok()) return file.status();
  if (file->bytes().size() > bytes_max) {
    return InvalidArgument(fmt::format("{}: {} bytes, more than the {} supported", path,
                                       file->bytes().size(), bytes_max));
  }
  return std::optional<MappedFile>(*std::move(file));
}

// Null when there is no such file.
Result<Json> ReadJson(const std::string& path, size_t bytes_max = kHfJsonBytesMax) {
  auto file = OpenSmall(path, bytes_max);
  if (!file.ok()) return file.status();
  if (!*file) return Json();
  auto json = codec::ParseJson(TextIn(**file), {.depth_max = 32, .bytes_max = bytes_max,
                                                .values_max = 6 * kGgufArrayElementsMax});
  if (!json.ok()) return json.status().Prefixed(path);
  return json;
}

bool PlainName(std::string_view name) {
  return name.size() <= 255 && !name.starts_with('.') && name.ends_with(kSuffix) &&
         std::ranges::all_of(name, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
         });
}

struct NamePair {
  std::string_view theirs, ours;
};
constexpr NamePair kLayerNames[] = {
    {"input_layernorm", "attn_norm"},      {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},        {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},   {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},             {"mlp.down_proj", "ffn_down"}};
// A norm before each half, or one after, or both.
constexpr NamePair kNormsBefore[] = {{"post_attention_layernorm", "ffn_norm"}};
constexpr NamePair kNormsAfter[] = {{"post_attention_layernorm", "post_attention_norm"},
                                    {"pre_feedforward_layernorm", "ffn_norm"},
                                    {"post_feedforward_layernorm", "post_ffw_norm"}};
constexpr NamePair kOwnNames[] = {{"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
                                  {"self_attn.qkv_proj", "attn_qkv"}, {"mlp.gate_up_proj", "ffn_up"}};

}  // namespace

std::string HfTensorName(std::string_view name, std::string_view architecture, bool tied) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return tied ? "" : "output.weight";
  if (name.ends_with(".rotary_emb.inv_freq")) return "";
  constexpr std::string_view kLayers = "model.layers.";
  const size_t dot = name.starts_with(kLayers) ? name.find('.', kLayers.size()) : std::string_view::npos;
  const size_t end = name.rfind('.');
  if (dot == std::string_view::npos || end <= dot) return std::string(name);
  const std::string_view layer = name.substr(kLayers.size(), dot - kLayers.size()), kind = name.substr(end);
  if (layer.empty() || !std::ranges::all_of(layer, [](unsigned char c) { return std::isdigit(c) != 0; }) ||
      (kind != ".weight" && kind != ".bias")) {
    return std::string(name);
  }
  const std::string_view part = name.substr(dot + 1, end - dot - 1);
  const auto find = [&](std::span<const NamePair> names) -> std::string {
    for (const NamePair& pair : names) {
      if (pair.theirs == part) return fmt::format("blk.{}.{}{}", layer, pair.ours, kind);
    }
    return "";
  };
  const bool after = architecture.starts_with("gemma") || architecture == "olmo2";
  std::string found = find(kLayerNames);
  if (found.empty()) found = find(kOwnNames);
  if (found.empty()) found = after ? find(kNormsAfter) : find(kNormsBefore);
  return found.empty() ? std::string(name) : found;
}

Result<std::vector<std::string>> ReadHfIndex(std::string_view text) {
  const auto index = codec::ParseJson(text, {.depth_max = 4, .bytes_max = kHfJsonBytesMax,
                                             .values_max = 4 * kGgufTensorsMax});
  if (!index.ok()) return index.status();
  const Json* map = Member(&*index, "weight_map");
  if (map == nullptr || map->AsObject() == nullptr) return InvalidArgument("weight_map is not an object");
  std::set<std::string> names;
  for (const auto& [tensor, file] : *map->AsObject()) {
    const std::string_view name = TextOf(&file);
    if (!PlainName(name)) {
      return InvalidArgument(fmt::format("tensor {} lies in \"{}\", which is no plain .safetensors name",
                                         ShownName(tensor), ShownName(name)));
    }
    names.emplace(name);
    if (names.size() > kGgufShardsMax) {
      return InvalidArgument(fmt::format("more than {} files", kGgufShardsMax));
    }
  }
  if (names.empty()) return InvalidArgument("no files are named");
  return std::vector<std::string>(names.begin(), names.end());
}

// Puts a folder's files together into one model.
class HfFolderBuilder {
 public:
  explicit HfFolderBuilder(std::string folder) : folder_(std::move(folder)) {
    model_->path_ = folder_;
  }
  Result<std::unique_ptr<ModelFile>> Build();

 private:
  std::string In(std::string_view name) const { return fmt::format("{}/{}", folder_, name); }
  Status ReadMetadata();
  Status AddWeights();
  Status AddFile(const std::string& name);
  Status Add(Tensor tensor);
  Status AddNumbers(std::string name, std::vector<float> values);
  Status RaiseNorm(Tensor& tensor);

  const std::string folder_;
  std::unique_ptr<ModelFile> model_ = std::make_unique<ModelFile>();
  std::shared_ptr<HfStore> store_ = std::make_shared<HfStore>();
  HfModel facts_;
};

Status HfFolderBuilder::ReadMetadata() {
  Metadata& metadata = model_->metadata_;
  const auto config = ReadJson(In("config.json"));
  if (!config.ok()) return config.status();
  if (config->is_null()) return NotFound(fmt::format("{}: has no config.json", folder_));
  auto facts = ReadHfConfig(*config, *store_, metadata);
  if (!facts.ok()) return facts.status().Prefixed(folder_);
  facts_ = *std::move(facts);
  const auto generation = ReadJson(In("generation_config.json"));
  if (!generation.ok()) return generation.status();
  ReadHfGeneration(*generation, metadata);
  const auto tokenizer = ReadJson(In("tokenizer.json"), kHfTokenizerBytesMax);
  if (!tokenizer.ok()) return tokenizer.status();
  if (tokenizer->is_null()) return NotFound(fmt::format("{}: has no tokenizer.json", folder_));
  const auto tokenizer_config = ReadJson(In("tokenizer_config.json"));
  if (!tokenizer_config.ok()) return tokenizer_config.status();
  HfTokenizerFiles files{.tokenizer = &*tokenizer, .tokenizer_config = &*tokenizer_config,
                         .config = &*config, .generation = &*generation, .chat_template = {}};
  const auto jinja = OpenSmall(In("chat_template.jinja"), kHfJsonBytesMax);
  if (!jinja.ok()) return jinja.status();
  if (*jinja && codec::ValidUtf8(TextIn(**jinja))) files.chat_template = TextIn(**jinja);
  if (Status s = ReadHfTokenizer(files, *store_, metadata); !s.ok()) return s.Prefixed(folder_);
  std::error_code error;
  metadata.Set("general.name", store_->Keep(fs::weakly_canonical(folder_, error).filename().string()));
  return OkStatus();
}

Status HfFolderBuilder::Add(Tensor tensor) {
  if (model_->tensors_.size() >= kGgufTensorsMax) {
    return InvalidArgument(fmt::format("{}: more than {} tensors", folder_, kGgufTensorsMax));
  }
  if (!model_->index_.emplace(tensor.name, model_->tensors_.size()).second) {
    return InvalidArgument(fmt::format("{}: tensor {} is there twice", folder_, ShownName(tensor.name)));
  }
  model_->tensors_.push_back(std::move(tensor));
  return OkStatus();
}

Status HfFolderBuilder::AddNumbers(std::string name, std::vector<float> values) {
  const std::vector<float>& kept = store_->floats.emplace_back(std::move(values));
  Tensor tensor;
  tensor.name = std::move(name);
  tensor.shape = {static_cast<int64_t>(kept.size())};
  tensor.data = std::as_bytes(std::span(kept));
  return Add(std::move(tensor));
}

// A norm kept less one becomes what GGUF has: one more, in fp32.
Status HfFolderBuilder::RaiseNorm(Tensor& tensor) {
  if (tensor.elements() > (1 << 20)) return InvalidArgument(fmt::format("tensor {} is too long", tensor.name));
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  tensor::DequantizeRow(tensor.dtype, tensor.data.data(), tensor.elements(), values.data());
  for (float& value : values) value += 1.f;
  return AddNumbers(std::move(tensor.name), std::move(values));
}

Status HfFolderBuilder::AddFile(const std::string& name) {
  const std::string path = In(name);
  auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  auto tensors = ParseSafetensors(file->bytes());
  if (!tensors.ok()) return tensors.status().Prefixed(path);
  for (Tensor& tensor : *tensors) {
    tensor.name = HfTensorName(tensor.name, facts_.architecture, facts_.tied);
    if (tensor.name.empty()) continue;
    tensor.file = static_cast<uint32_t>(model_->files_.size());
    const bool norm = facts_.norms_from_zero && tensor.shape.size() == 1;
    RETURN_IF_ERROR(norm ? RaiseNorm(tensor) : Add(std::move(tensor)));
  }
  model_->files_.push_back(std::move(*file));
  return OkStatus();
}

Status HfFolderBuilder::AddWeights() {
  const std::string index_path = In("model.safetensors.index.json");
  const auto index = OpenSmall(index_path, kHfJsonBytesMax);
  if (!index.ok()) return index.status();
  std::vector<std::string> names = {"model.safetensors"};
  if (*index) {
    auto named = ReadHfIndex(TextIn(**index));
    if (!named.ok()) return named.status().Prefixed(index_path);
    names = *std::move(named);
  }
  for (const std::string& name : names) RETURN_IF_ERROR(AddFile(name));
  if (facts_.rope_factors.empty()) return OkStatus();
  return AddNumbers(facts_.rope_factors_name, std::move(facts_.rope_factors));
}

Result<std::unique_ptr<ModelFile>> HfFolderBuilder::Build() {
  RETURN_IF_ERROR(ReadMetadata());
  RETURN_IF_ERROR(AddWeights());
  model_->owned_ = std::move(store_);
  return std::move(model_);
}

Result<std::unique_ptr<ModelFile>> OpenHfFolder(const std::string& folder) {
  return HfFolderBuilder(folder).Build();
}

}  // namespace pelton::format
