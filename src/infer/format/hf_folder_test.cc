#include "format/hf_folder.h"

#include <gtest/gtest.h>

#include <string>

#include "codec/json.h"
#include "format/hf_json.h"

namespace pelton::format {
namespace {

codec::Json Json(const std::string& text) {
  auto json = codec::ParseJson(text);
  EXPECT_TRUE(json.ok()) << json.status().message();
  return json.ok() ? *std::move(json) : codec::Json();
}

constexpr const char* kLlama =
    R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "max_position_embeddings": 131072, "rope_theta": 500000.0, "tie_word_embeddings": true})";

struct Read {
  HfStore store;
  Metadata metadata;
  Status status;
  HfModel model;

  explicit Read(codec::Json config) {
    auto read = ReadHfConfig(config, store, metadata);
    status = read.status();
    if (read.ok()) model = *std::move(read);
  }
};

codec::Json With(const char* key, codec::Json value, const char* base = kLlama) {
  codec::Json config = Json(base);
  config.Set(key, std::move(value));
  return config;
}

void ExpectRefused(codec::Json config, const std::string& word) {
  const Read read(std::move(config));
  ASSERT_FALSE(read.status.ok()) << word;
  EXPECT_NE(read.status.message().find(word), std::string::npos) << read.status.message();
}

TEST(HfConfig, GivesGgufsKeys) {
  const Read read(Json(kLlama));
  ASSERT_TRUE(read.status.ok()) << read.status.message();
  EXPECT_EQ(*read.metadata.String("general.architecture"), "llama");
  EXPECT_EQ(*read.metadata.Uint("llama.block_count"), 16u);
  EXPECT_EQ(*read.metadata.Uint("llama.attention.head_count_kv"), 8u);
  EXPECT_EQ(*read.metadata.Uint("llama.attention.key_length"), 64u);
  EXPECT_EQ(*read.metadata.Float("llama.rope.freq_base"), 500000.0);
  EXPECT_EQ(*read.metadata.Float("llama.attention.layer_norm_rms_epsilon"), 1e-5);
  EXPECT_TRUE(*read.metadata.Bool("llama.rope.halves"));
  EXPECT_FALSE(read.metadata.Has("llama.attention.sliding_window"));
  EXPECT_TRUE(read.model.tied);
  EXPECT_EQ(read.model.layers, 16u);
}

TEST(HfConfig, WhatIsNotSupportedIsNamed) {
  ExpectRefused(With("architectures", Json(R"(["QwenForCausalLM"])")), "QwenForCausalLM");
  ExpectRefused(With("architectures", Json("[]")), "architecture");
  ExpectRefused(With("architectures", Json("[3]")), "architecture");
  ExpectRefused(With("hidden_act", "gelu"), "gelu");
  ExpectRefused(With("quantization_config", Json("{}")), "quantization_config");
  ExpectRefused(With("rope_scaling", Json(R"({"rope_type": "yarn", "factor": 4.0})")), "yarn");
  ExpectRefused(With("rope_scaling", Json(R"({"type": "linear"})")), "factor");
  ExpectRefused(With("rope_scaling", Json(R"({"rope_type": "llama3", "factor": 8.0})")), "llama3");
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}) {
    ExpectRefused(With(key, nullptr), key);
    ExpectRefused(With(key, 0), key);
    ExpectRefused(With(key, -1), key);
    ExpectRefused(With(key, 1.5), key);
    ExpectRefused(With(key, "many"), key);
    ExpectRefused(With(key, uint64_t{1} << 40), key);
  }
  ExpectRefused(Json("[]"), "object");
}

TEST(HfConfig, Mistral7BsWindowIsTheDefaultUnlessItIsNull) {
  const codec::Json mistral = With("architectures", Json(R"(["MistralForCausalLM"])"));
  EXPECT_EQ(*Read(mistral).metadata.Uint("llama.attention.sliding_window"), 4096u);
  codec::Json none = mistral;
  none.Set("sliding_window", nullptr);
  EXPECT_FALSE(Read(none).metadata.Has("llama.attention.sliding_window"));
}

TEST(HfConfig, Gemma3sLayersHaveAPattern) {
  const auto gemma = [](const std::string& more) {
    return Json(R"({"architectures": ["Gemma3ForCausalLM"], "hidden_size": 640, "intermediate_size": 2048,
                    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256)" +
                more + "}");
  };
  const Read six(gemma(""));
  ASSERT_TRUE(six.status.ok()) << six.status.message();
  EXPECT_EQ(*six.metadata.Uint("gemma3.attention.sliding_window_pattern"), 6u);
  EXPECT_TRUE(six.model.norms_from_zero && six.model.tied);
  const Read two(gemma(R"(, "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"])"));
  ASSERT_TRUE(two.status.ok()) << two.status.message();
  EXPECT_EQ(*two.metadata.Uint("gemma3.attention.sliding_window_pattern"), 2u);
  ExpectRefused(gemma(R"(, "layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"])"), "layer_types");
  ExpectRefused(gemma(R"(, "layer_types": ["full_attention"])"), "layer_types");
  ExpectRefused(gemma(R"(, "query_pre_attn_scalar": 168)"), "query_pre_attn_scalar");
  ExpectRefused(gemma(R"(, "final_logit_softcapping": 30.0)"), "softcapping");
  ExpectRefused(gemma(R"(, "rope_local_base_freq": 20000)"), "10000");
}

TEST(HfConfig, EachFamilyHasTheDefaultsOfItsClass) {
  const auto config = [](const std::string& name) {
    return Json(R"({"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                    "architectures": [")" + name + R"("]})");
  };
  struct Case {
    const char* name;
    std::string prefix;
    uint64_t context, head_dim;
    double eps;
  };
  for (const Case& c : {Case{"Qwen2ForCausalLM", "qwen2.", 32768, 16, 1e-6},
                        Case{"Qwen3ForCausalLM", "qwen3.", 32768, 128, 1e-6},
                        Case{"Olmo2ForCausalLM", "olmo2.", 2048, 16, 1e-5},
                        Case{"Phi3ForCausalLM", "phi3.", 4096, 16, 1e-5},
                        Case{"Gemma2ForCausalLM", "gemma2.", 8192, 256, 1e-6}}) {
    const Read read(config(c.name));
    ASSERT_TRUE(read.status.ok()) << read.status.message();
    EXPECT_EQ(*read.metadata.Uint(c.prefix + "context_length"), c.context);
    EXPECT_EQ(*read.metadata.Uint(c.prefix + "attention.key_length"), c.head_dim);
    EXPECT_EQ(*read.metadata.Float(c.prefix + "attention.layer_norm_rms_epsilon"), c.eps);
  }
  codec::Json qwen = config("Qwen2ForCausalLM");
  qwen.Set("use_sliding_window", true);
  ExpectRefused(qwen, "use_sliding_window");
  codec::Json gemma = config("Gemma2ForCausalLM");
  gemma.Set("final_logit_softcapping", nullptr);
  EXPECT_EQ(*Read(gemma).metadata.Float("gemma2.final_logit_softcapping"), 0.0);
  EXPECT_EQ(*Read(gemma).metadata.Float("gemma2.attn_logit_softcapping"), 50.0);
  gemma.Set("layer_types", Json(R"(["full_attention", "sliding_attention"])"));
  ExpectRefused(gemma, "layer_types");
}

TEST(HfConfig, LongRopeNeedsAFactorForEachPair) {
  const auto phi = [](const std::string& rope, const std::string& more) {
    return Json(R"({"architectures": ["Phi3ForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
                    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 131072,
                    "partial_rotary_factor": 0.5, "rope_scaling": {"type": "longrope", )" + rope + "}" + more + "}");
  };
  const std::string original = R"(, "original_max_position_embeddings": 4096)";
  const Read read(phi(R"("short_factor": [1, 1.5, 2, 2.5])", original));
  ASSERT_TRUE(read.status.ok()) << read.status.message();
  EXPECT_EQ(read.model.rope_factors, (std::vector<float>{1.f, 1.5f, 2.f, 2.5f}));
  EXPECT_EQ(read.model.rope_factors_name, "rope_factors_short.weight");
  EXPECT_EQ(*read.metadata.Uint("phi3.rope.dimension_count"), 8u);
  EXPECT_NEAR(*read.metadata.Float("phi3.rope.scaling.attn_factor"), 1.1902380714238083, 1e-12);
  ExpectRefused(phi(R"("short_factor": [1, 1.5, 2])", original), "short_factor");
  ExpectRefused(phi(R"("long_factor": [1, 1.5, 2, 2.5])", original), "short_factor");
  ExpectRefused(phi(R"("short_factor": [1, 1.5, 2, 2.5])", ""), "original_max_position_embeddings");
  ExpectRefused(phi(R"("short_factor": [1, 1.5, 2, 2.5])", R"(, "original_max_position_embeddings": 1)"),
                "original_max_position_embeddings");
}

TEST(HfNames, BecomeGgufs) {
  EXPECT_EQ(HfTensorName("model.embed_tokens.weight", "llama", false), "token_embd.weight");
  EXPECT_EQ(HfTensorName("lm_head.weight", "llama", false), "output.weight");
  EXPECT_EQ(HfTensorName("lm_head.weight", "llama", true), "");
  EXPECT_EQ(HfTensorName("model.layers.11.self_attn.q_proj.weight", "llama", false), "blk.11.attn_q.weight");
  EXPECT_EQ(HfTensorName("model.layers.0.post_attention_layernorm.weight", "llama", false), "blk.0.ffn_norm.weight");
  EXPECT_EQ(HfTensorName("model.layers.0.post_attention_layernorm.weight", "gemma3", false),
            "blk.0.post_attention_norm.weight");
  EXPECT_EQ(HfTensorName("model.layers.2.self_attn.q_proj.bias", "qwen2", false), "blk.2.attn_q.bias");
  EXPECT_EQ(HfTensorName("model.layers.0.mlp.gate_up_proj.weight", "phi3", false), "blk.0.ffn_up.weight");
  EXPECT_EQ(HfTensorName("model.layers.0.post_feedforward_layernorm.weight", "olmo2", false),
            "blk.0.post_ffw_norm.weight");
  for (const char* strange : {"model.layers.0.self_attn.q_proj.scale", "model.layers..mlp.up_proj.weight",
                              "model.layers.x.mlp.up_proj.weight", "model.layers.0.weight", "model.layers.0",
                              "model.layers.0..weight", "x", ".weight"}) {
    EXPECT_EQ(HfTensorName(strange, "llama", false), strange);
  }
}

Status ReadTokens(const std::string& tokenizer, Metadata* metadata, HfStore* store, const char* config = "{}") {
  const codec::Json json = Json(tokenizer), more = Json(config);
  return ReadHfTokenizer({.tokenizer = &json, .tokenizer_config = &more, .chat_template = {}}, *store, *metadata);
}

constexpr const char* kByteLevel = R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false})";

TEST(HfTokenizer, HolesAreFilledAndKindsAreKept) {
  Metadata metadata;
  HfStore store;
  const Status status = ReadTokens(
      std::string(R"({"model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}, "added_tokens": [
        {"id": 4, "content": "<|end|>", "special": true}, {"id": 5, "content": "<x>", "special": false}], )") + kByteLevel + "}",
      &metadata, &store, R"({"eos_token": {"content": "<|end|>"}, "add_bos_token": true,
                             "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]})");
  ASSERT_TRUE(status.ok()) << status.message();
  const auto tokens = *metadata.Strings("tokenizer.ggml.tokens");
  EXPECT_EQ(std::vector<std::string_view>(tokens.begin(), tokens.end()),
            (std::vector<std::string_view>{"a", "b", "ab", "[PAD3]", "<|end|>", "<x>"}));
  const auto kinds = *metadata.Ints("tokenizer.ggml.token_type");
  EXPECT_EQ(std::vector<int64_t>(kinds.begin(), kinds.end()), (std::vector<int64_t>{1, 1, 1, 5, 3, 4}));
  EXPECT_EQ((*metadata.Strings("tokenizer.ggml.merges"))[0], "a b");
  EXPECT_EQ(*metadata.String("tokenizer.ggml.pre"), "gpt-2");
  EXPECT_EQ(*metadata.Uint("tokenizer.ggml.eos_token_id"), 4u);
  EXPECT_EQ(*metadata.String("tokenizer.chat_template"), "yes");
  EXPECT_TRUE(*metadata.Bool("tokenizer.ggml.add_bos_token"));
}

TEST(HfTokenizer, Llama3sPatternIsKnownByItsText) {
  Metadata metadata;
  HfStore store;
  const Status status = ReadTokens(
      R"({"model": {"vocab": {"a": 0}, "merges": [], "ignore_merges": true}, "pre_tokenizer": {"type": "Sequence",
          "pretokenizers": [{"type": "Split", "pattern": {"Regex":
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
          "behavior": "Isolated", "invert": false},
          {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}})",
      &metadata, &store);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(*metadata.String("tokenizer.ggml.pre"), "llama-bpe");
}

TEST(HfTokenizer, QwensNormalizerTellsItFromItsDistils) {
  const std::string pattern = R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex":
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
      "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})";
  struct Case {
    const char *normalizer, *pre;
  };
  for (const Case& c : {Case{R"({"type": "NFC"})", "qwen2"}, Case{"null", "deepseek-r1-qwen"},
                        Case{R"({"type": "Sequence", "normalizers": []})", "deepseek-r1-qwen"}}) {
    Metadata metadata;
    HfStore store;
    const Status status = ReadTokens(R"({"model": {"vocab": {"a": 0}, "merges": []}, "normalizer": )" +
                                     std::string(c.normalizer) + ", " + pattern + "}", &metadata, &store);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(*metadata.String("tokenizer.ggml.pre"), c.pre);
  }
}

TEST(HfTokenizer, WhatWouldTokenizeOtherwiseIsRefused) {
  const std::string model = R"("model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "bc": 4}, "merges": ["a b"]})";
  const std::string sp = R"("normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"})";
  const auto refused = [](const std::string& tokenizer, const std::string& word) {
    Metadata metadata;
    HfStore store;
    const Status status = ReadTokens("{" + tokenizer + "}", &metadata, &store);
    ASSERT_FALSE(status.ok()) << word;
    EXPECT_NE(status.message().find(word), std::string::npos) << status.message();
  };
  refused(model, "another kind");
  refused(R"("model": {"type": "WordPiece", "vocab": {}})", "BPE");
  refused(R"("model": {"type": "BPE"})", "BPE");
  refused(R"("model": {"vocab": {}})", "vocab");
  refused(R"("model": {"vocab": {"a": 99999999}})", "\"a\"");
  refused(R"("model": {"vocab": {"a": -1}})", "\"a\"");
  refused(R"("model": {"vocab": {"a": 0, "b": 0}})", "id 0");
  refused(model + R"(, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true})", "add_prefix_space");
  refused(model + R"(, "normalizer": {"type": "NFC"}, )" + kByteLevel, "normalizer");  // not Qwen's pattern
  refused(model + R"(, "normalizer": {"type": "NFC"})", "NFC");
  refused(model + R"(, "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": false})", "first");
  refused(model + R"(, "added_tokens": [{"id": 1, "content": "b", "lstrip": true}], )" + kByteLevel, "lstrip");
  refused(model + R"(, "added_tokens": [{"id": 1, "content": "x"}], )" + kByteLevel, "id 1");
  refused(model + R"(, "added_tokens": [{"id": 100000000, "content": "x"}], )" + kByteLevel, "added token");
  refused(R"("model": {"vocab": {"a": 0}, "merges": ["a"]}, )" + std::string(kByteLevel), "merge");
  refused(R"("model": {"vocab": {"a": 0}, "merges": ["a a"]}, )" + sp, "no token");
  refused(R"("model": {"vocab": {"a": 0, "b": 1, "ab": 2, "ba": 3}, "merges": ["a b", "b a", "a b"]}, )" + sp, "order");
}

TEST(HfTokenizer, ScoresFollowTheOrderOfMerges) {
  Metadata metadata;
  HfStore store;
  const Status status = ReadTokens(
      R"({"model": {"vocab": {"<unk>": 0, "<0x41>": 1, "a": 2, "b": 3, "ab": 4, "ba": 5}, "unk_token": "<unk>",
          "byte_fallback": true, "merges": ["b a", "a b"]},
          "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}})", &metadata, &store);
  ASSERT_TRUE(status.ok()) << status.message();
  const auto scores = *metadata.Floats("tokenizer.ggml.scores");
  EXPECT_GT(scores[5], scores[4]);
  const auto kinds = *metadata.Ints("tokenizer.ggml.token_type");
  EXPECT_EQ(kinds[0], 2);
  EXPECT_EQ(kinds[1], 6);
  EXPECT_TRUE(*metadata.Bool("tokenizer.ggml.add_space_prefix"));
}

}  // namespace
}  // namespace pelton::format
