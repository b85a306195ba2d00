// Writes small model files with chosen hyper-parameters, for tests and fuzz seeds.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/random.h"
#include "format/gguf_writer.h"
#include "tensor/quantize.h"

namespace pelton::models {

// A model of any family that is known, of random weights. Change what a test is about, then Write.
struct ModelMaker {
  std::string architecture = "llama";
  int layers = 1, dim = 32, feed_forward = 48, vocab = 40;
  int heads = 4, kv_heads = 2, head_dim = 8;
  tensor::DType dtype = tensor::DType::kF32;  // of matrices
  uint64_t seed = 1;

  // Keys set last, over those that the fields give; names of keys and tensors to leave out.
  std::map<std::string, format::MetadataValue> keys = {};
  std::vector<std::string> without = {};
  struct Extra {
    std::string name = {};
    tensor::DType dtype = tensor::DType::kF32;
    std::vector<int64_t> shape = {};
    std::vector<float> values = {};  // empty: random
  };
  // Tensors in addition, or in the place of the one with that name.
  std::vector<Extra> tensors = {};

  format::GgufWriter Make() const {
    format::GgufWriter writer;
    std::map<std::string, format::MetadataValue> all = {
        {"general.architecture", std::string_view(architecture)},
        {architecture + ".block_count", uint64_t(layers)},
        {architecture + ".embedding_length", uint64_t(dim)},
        {architecture + ".feed_forward_length", uint64_t(feed_forward)},
        {architecture + ".context_length", uint64_t{256}},
        {architecture + ".attention.head_count", uint64_t(heads)},
        {architecture + ".attention.head_count_kv", uint64_t(kv_heads)},
        {architecture + ".attention.key_length", uint64_t(head_dim)},
        {architecture + ".attention.value_length", uint64_t(head_dim)},
        {architecture + ".attention.layer_norm_rms_epsilon", 1e-5},
    };
    for (const auto& [key, value] : keys) all[key] = value;
    for (const auto& [key, value] : all) {
      if (!LeftOut(key)) writer.Set(key, value);
    }
    Random random(seed);
    const auto add = [&](const std::string& name, tensor::DType type, std::vector<int64_t> shape) {
      for (const Extra& extra : tensors) {
        if (extra.name == name) return;  // replaced below
      }
      if (!LeftOut(name)) Add(writer, random, {name, type, std::move(shape), {}});
    };
    const int q = heads * head_dim, kv = kv_heads * head_dim;
    const auto one_of = [&](std::initializer_list<std::string_view> names) {
      return std::find(names.begin(), names.end(), architecture) != names.end();
    };
    add("token_embd.weight", dtype, {vocab, dim});
    add("output_norm.weight", tensor::DType::kF32, {dim});
    for (int i = 0; i < layers; ++i) {
      const std::string blk = "blk." + std::to_string(i) + ".";
      const auto matrix = [&](const char* name, int out, int in) {
        add(blk + name + ".weight", dtype, {out, in});
      };
      const auto vector = [&](const char* name, int n) {
        add(blk + name + ".weight", tensor::DType::kF32, {n});
      };
      if (one_of({"phi3"})) {
        matrix("attn_qkv", q + 2 * kv, dim);
        matrix("ffn_up", 2 * feed_forward, dim);
      } else {
        matrix("attn_q", q, dim);
        matrix("attn_k", kv, dim);
        matrix("attn_v", kv, dim);
        matrix("ffn_gate", feed_forward, dim);
        matrix("ffn_up", feed_forward, dim);
      }
      matrix("attn_output", dim, q);
      matrix("ffn_down", dim, feed_forward);
      if (!one_of({"olmo2"})) {
        vector("attn_norm", dim);
        vector("ffn_norm", dim);
      }
      if (one_of({"gemma3", "qwen3", "olmo2"})) {
        vector("attn_q_norm", one_of({"olmo2"}) ? q : head_dim);
        vector("attn_k_norm", one_of({"olmo2"}) ? kv : head_dim);
      }
      if (one_of({"gemma2", "gemma3", "olmo2"})) {
        vector("post_attention_norm", dim);
        vector("post_ffw_norm", dim);
      }
      if (one_of({"qwen2"})) {
        for (const auto& [name, n] : {std::pair{"attn_q.bias", q}, {"attn_k.bias", kv}, {"attn_v.bias", kv}}) {
          add(blk + name, tensor::DType::kF32, {n});
        }
      }
    }
    for (const Extra& extra : tensors) Add(writer, random, extra);
    return writer;
  }

 private:
  bool LeftOut(const std::string& name) const {
    for (const std::string& word : without) {
      if (word == name) return true;
    }
    return false;
  }

  static void Add(format::GgufWriter& writer, Random& random, const Extra& t) {
    int64_t elements = 1;
    for (const int64_t size : t.shape) elements *= size;
    std::vector<float> values = t.values;
    if (values.empty()) {
      for (int64_t i = 0; i < elements; ++i) {
        values.push_back(static_cast<float>(random.Uniform() - 0.5));
      }
    }
    const auto bytes = tensor::RowBytes(t.dtype, static_cast<uint64_t>(elements));
    CHECK(bytes.has_value(), "a shape that the type cannot hold");
    std::vector<std::byte> data(*bytes);
    tensor::QuantizeRow(t.dtype, values.data(), elements, data.data());
    CHECK(writer.AddTensor(t.name, t.dtype, t.shape, std::move(data)).ok(), "AddTensor");
  }
};

}  // namespace pelton::models
