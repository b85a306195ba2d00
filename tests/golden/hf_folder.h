// Writes a GGUF model as the Hugging Face folder that it could have come from: the names, the order of
// rows, the norms and the tokenizer's files as transformers has them. Written from the converter's
// description, apart from the reader that it tests.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <unordered_set>
#include <string>
#include <string_view>
#include <vector>

#include "codec/json.h"
#include "codec/json_write.h"
#include "format/model_file.h"

namespace pelton::golden {

class HfFolderWriter {
 public:
  // `rope`: JSON of rope_scaling where the file has it as a tensor; empty otherwise.
  HfFolderWriter(const format::ModelFile& file, std::string folder, std::string rope = "")
      : file_(file), folder_(std::move(folder)), rope_(std::move(rope)),
        architecture_(*file.metadata().String("general.architecture")) {}

  void Write(int files) {
    Save("config.json", Config());
    WriteWeights(files);
    Save("tokenizer.json", Tokenizer());
    Save("tokenizer_config.json", TokenizerConfig());
    Save("generation_config.json", codec::Json::EmptyObject());
  }

  codec::Json TokenizerConfig() const {
    codec::Json config;
    config.Set("bos_token", Piece(Number("tokenizer.ggml.bos_token_id")));
    codec::Json eos;
    eos.Set("content", Piece(Number("tokenizer.ggml.eos_token_id")));
    config.Set("eos_token", eos);
    if (const auto t = file_.metadata().String("tokenizer.chat_template"); t.ok()) {
      config.Set("chat_template", *t);
    }
    return config;
  }
  codec::Json Tokenizer() const;

 private:
  bool gemma() const { return architecture_.starts_with("gemma"); }
  bool gemma3() const { return architecture_ == "gemma3"; }
  std::string ClassName() const {
    static const std::map<std::string, std::string> kNames = {
        {"gemma2", "Gemma2ForCausalLM"}, {"gemma3", "Gemma3ForCausalLM"}, {"olmo2", "Olmo2ForCausalLM"},
        {"phi3", "Phi3ForCausalLM"}, {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"}};
    if (const auto it = kNames.find(architecture_); it != kNames.end()) return it->second;
    return Own("attention.sliding_window") > 0 ? "MistralForCausalLM" : "LlamaForCausalLM";
  }
  uint64_t Number(const std::string& key) const { return file_.metadata().UintOr(key, 0).value(); }
  uint64_t Own(const std::string& key) const { return Number(architecture_ + "." + key); }
  double Real(const std::string& key) const {
    return file_.metadata().FloatOr(architecture_ + "." + key, 0.0).value();
  }
  std::string_view Piece(uint64_t id) const {
    return (*file_.metadata().Strings("tokenizer.ggml.tokens"))[id];
  }

  void Save(const std::string& name, const codec::Json& json) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << codec::WriteJson(json);
  }

  codec::Json Config() const {
    const auto ends = codec::ParseJson(fmt::format("[{}]", Number("tokenizer.ggml.eos_token_id")));
    const uint64_t window = Own("attention.sliding_window");
    codec::Json c;
    codec::Json classes;
    classes.Push(ClassName());
    c.Set("architectures", classes);
    c.Set("num_hidden_layers", Own("block_count"));
    c.Set("hidden_size", Own("embedding_length"));
    c.Set("intermediate_size", Own("feed_forward_length"));
    c.Set("max_position_embeddings", Own("context_length"));
    c.Set("num_attention_heads", Own("attention.head_count"));
    c.Set("num_key_value_heads", Own("attention.head_count_kv"));
    if (file_.metadata().Has(architecture_ + ".attention.key_length")) {
      c.Set("head_dim", Own("attention.key_length"));
    }
    c.Set("rms_norm_eps", Real("attention.layer_norm_rms_epsilon"));
    c.Set("tie_word_embeddings", file_.Find("output.weight") == nullptr);
    c.Set("eos_token_id", *ends);
    if (window > 0) c.Set("sliding_window", window);
    codec::Json linear;
    if (file_.metadata().Has(architecture_ + ".rope.scaling.type")) {
      linear.Set("rope_type", "linear");
      linear.Set("factor", Real("rope.scaling.factor"));
    }
    const double theta = Real("rope.freq_base");
    if (gemma()) c.Set("query_pre_attn_scalar", Own("attention.key_length"));
    if (architecture_ == "gemma2") {
      c.Set("attn_logit_softcapping", Real("attn_logit_softcapping"));
      c.Set("final_logit_softcapping", Real("final_logit_softcapping"));
    }
    if (file_.Find("rope_factors_short.weight") != nullptr) {
      c.Set("partial_rotary_factor", static_cast<double>(Own("rope.dimension_count")) /
                                         static_cast<double>(Own("attention.key_length")));
      c.Set("original_max_position_embeddings", Own("rope.scaling.original_context_length"));
    }
    if (!gemma3()) {
      c.Set("rope_theta", theta);
      c.Set("rope_scaling", rope_.empty() ? linear : *codec::ParseJson(rope_));
      return c;
    }
    // As transformers 5 writes it.
    codec::Json full = linear, local, types;
    full.Set("rope_theta", theta);
    local.Set("rope_theta", 10000.0);
    local.Set("rope_type", "default");
    codec::Json parameters;
    parameters.Set("full_attention", full);
    parameters.Set("sliding_attention", local);
    c.Set("rope_parameters", parameters);
    for (uint64_t i = 0; i < Own("block_count"); ++i) {
      types.Push((i + 1) % 6 == 0 ? "full_attention" : "sliding_attention");
    }
    c.Set("layer_types", types);
    return c;
  }

  std::string NameOf(const std::string& ours) const {
    static const std::map<std::string, std::string> kOutside = {
        {"token_embd.weight", "model.embed_tokens.weight"},
        {"output_norm.weight", "model.norm.weight"},
        {"output.weight", "lm_head.weight"}};
    if (const auto it = kOutside.find(ours); it != kOutside.end()) return it->second;
    std::map<std::string, std::string> inside = {
        {"attn_q", "self_attn.q_proj"},  {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"},
        {"attn_output", "self_attn.o_proj"}, {"ffn_gate", "mlp.gate_proj"}, {"ffn_up", "mlp.up_proj"},
        {"ffn_down", "mlp.down_proj"},   {"attn_norm", "input_layernorm"},
        {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
        {"attn_qkv", "self_attn.qkv_proj"},
        {"ffn_norm", gemma() ? "pre_feedforward_layernorm" : "post_attention_layernorm"},
        {"post_attention_norm", "post_attention_layernorm"}, {"post_ffw_norm", "post_feedforward_layernorm"}};
    const size_t dot = ours.find('.', 4), end = ours.rfind('.');
    if (!ours.starts_with("blk.") || end <= dot) return "";
    if (architecture_ == "phi3") inside["ffn_up"] = "mlp.gate_up_proj";
    return fmt::format("model.layers.{}.{}{}", ours.substr(4, dot - 4),
                       inside.at(ours.substr(dot + 1, end - dot - 1)), ours.substr(end));
  }

  // The tensor's numbers as transformers keeps them.
  std::vector<float> Values(const format::Tensor& tensor) const {
    const int64_t n = tensor.elements();
    std::vector<float> values(static_cast<size_t>(n));
    tensor::DequantizeRow(tensor.dtype, tensor.data.data(), n, values.data());
    if (gemma() && tensor.shape.size() == 1) {
      for (float& v : values) v -= 1.f;
    }
    const bool q = tensor.name.ends_with("attn_q.weight"), k = tensor.name.ends_with("attn_k.weight");
    if (architecture_ != "llama" || !(q || k)) return values;
    // GGUF has dimensions i and i + half of a head side by side.
    const int64_t heads = static_cast<int64_t>(q ? Own("attention.head_count") : Own("attention.head_count_kv"));
    const int64_t width = tensor.shape[0] / heads, inputs = tensor.shape[1];
    std::vector<float> out(values.size());
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t part = 0; part < 2; ++part) {
        for (int64_t i = 0; i < width / 2; ++i) {
          std::memcpy(&out[(head * width + part * (width / 2) + i) * inputs],
                      &values[(head * width + 2 * i + part) * inputs], inputs * sizeof(float));
        }
      }
    }
    return out;
  }

  void WriteWeights(int files) {
    struct Shard {
      codec::Json header;
      std::string data;
    };
    std::vector<Shard> shards(static_cast<size_t>(files));
    codec::Json map;
    size_t next = 0;
    for (const format::Tensor& tensor : file_.tensors()) {
      const std::string name = NameOf(tensor.name);
      if (name.empty()) continue;  // rope_freqs: the configuration says it
      Shard& shard = shards[next++ % shards.size()];
      const std::vector<float> values = Values(tensor);
      codec::Json entry, shape, offsets;
      for (const int64_t size : tensor.shape) shape.Push(size);
      offsets.Push(uint64_t{shard.data.size()});
      shard.data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      offsets.Push(uint64_t{shard.data.size()});
      entry.Set("dtype", "F32");
      entry.Set("shape", shape);
      entry.Set("data_offsets", offsets);
      shard.header.Set(name, entry);
      map.Set(name, FileName(static_cast<int>((next - 1) % shards.size()), files));
    }
    for (int i = 0; i < files; ++i) {
      const std::string header = codec::WriteJson(shards[static_cast<size_t>(i)].header);
      const uint64_t size = header.size();
      std::ofstream out(folder_ + "/" + FileName(i, files), std::ios::binary);
      out.write(reinterpret_cast<const char*>(&size), sizeof size);
      out << header << shards[static_cast<size_t>(i)].data;
    }
    if (files == 1) return;
    codec::Json index;
    index.Set("weight_map", map);
    Save("model.safetensors.index.json", index);
  }

  static std::string FileName(int i, int files) {
    return files == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files);
  }

  codec::Json Merges() const {
    codec::Json out = codec::Json::EmptyArray();
    bool pair = false;  // both ways in which the library writes them
    const auto merges = *file_.metadata().Strings("tokenizer.ggml.merges");
    for (const std::string_view merge : merges) {
      codec::Json both;
      both.Push(merge.substr(0, merge.find(' ')));
      both.Push(merge.substr(merge.find(' ') + 1));
      out.Push((pair = !pair) ? both : codec::Json(merge));
    }
    return out;
  }

  // As transformers derives merges from a SentencePiece vocabulary.
  codec::Json MergesByScore() const {
    const auto pieces = *file_.metadata().Strings("tokenizer.ggml.tokens");
    const auto scores = *file_.metadata().Floats("tokenizer.ggml.scores");
    const auto kinds = *file_.metadata().Ints("tokenizer.ggml.token_type");
    std::unordered_set<std::string_view> known;
    std::vector<size_t> order;
    for (size_t id = 0; id < pieces.size(); ++id) {
      if (kinds[id] != 1) continue;
      known.insert(pieces[id]);
      order.push_back(id);
    }
    std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    codec::Json out = codec::Json::EmptyArray();
    for (const size_t id : order) {
      for (size_t cut = 1; cut < pieces[id].size(); ++cut) {
        const std::string_view left = pieces[id].substr(0, cut), right = pieces[id].substr(cut);
        if (!known.contains(left) || !known.contains(right)) continue;
        codec::Json both;
        both.Push(left);
        both.Push(right);
        out.Push(both);
      }
    }
    return out;
  }

  const format::ModelFile& file_;
  const std::string folder_, rope_, architecture_;
};

inline codec::Json HfFolderWriter::Tokenizer() const {
  const auto pieces = *file_.metadata().Strings("tokenizer.ggml.tokens");
  const auto kinds = *file_.metadata().Ints("tokenizer.ggml.token_type");
  const bool bytes = *file_.metadata().String("tokenizer.ggml.model") == "gpt2";
  codec::Json::Object vocab;
  codec::Json added = codec::Json::EmptyArray(), model, out;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (kinds[id] == 1 || kinds[id] == 6 || kinds[id] == 2) vocab.emplace_back(pieces[id], uint64_t{id});
    if (kinds[id] != 3 && kinds[id] != 4) continue;
    codec::Json token;
    token.Set("id", uint64_t{id});
    token.Set("content", pieces[id]);
    token.Set("special", kinds[id] == 3);
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) token.Set(flag, false);
    added.Push(token);
  }
  model.Set("type", "BPE");
  model.Set("vocab", codec::Json(std::move(vocab)));
  model.Set("byte_fallback", !bytes);
  model.Set("ignore_merges", false);
  model.Set("merges", bytes ? Merges() : MergesByScore());
  if (!bytes) model.Set("unk_token", Piece(Number("tokenizer.ggml.unknown_token_id")));
  out.Set("added_tokens", added);
  out.Set("model", model);
  const char* rest = bytes
      ? R"({"normalizer": null, "post_processor": null, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
           {"type": "Digits", "individual_digits": true},
           {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]}})"
      : R"({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
           "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
           "post_processor": {"type": "TemplateProcessing", "single": [
             {"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}})";
  const auto parsed = codec::ParseJson(rest);
  EXPECT_TRUE(parsed.ok()) << parsed.status().message();
  for (const auto& [key, value] : *parsed->AsObject()) out.Set(key, value);
  return out;
}

}  // namespace pelton::golden
