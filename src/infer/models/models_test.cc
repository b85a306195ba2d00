#include <gtest/gtest.h>

#include <cmath>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <numeric>

#include "base/cpu.h"
#include "models/hyper.h"
#include "models/model.h"
#include "models/testing/model_maker.h"

namespace pelton::models {
namespace {

using format::MetadataValue;
using tensor::DType;

struct TempFile {
  TempFile() {
    char name[] = "/tmp/pelton_models_XXXXXX";
    const int fd = mkstemp(name);
    CHECK(fd >= 0, "mkstemp");
    close(fd);
    path = name;
  }
  ~TempFile() { unlink(path.c_str()); }
  std::string path;
};

struct Opened {
  TempFile temp;
  std::unique_ptr<format::ModelFile> file;
  nn::Team team{{.threads = 2, .pin = false}};
};

std::unique_ptr<Opened> Open(const ModelMaker& maker) {
  auto out = std::make_unique<Opened>();
  EXPECT_TRUE(maker.Make().Write(out->temp.path).ok());
  auto file = format::ModelFile::Open(out->temp.path);
  EXPECT_TRUE(file.ok()) << file.status().message();
  if (file.ok()) out->file = *std::move(file);
  return out;
}

const kernels::KernelTable& Ref() { return *kernels::AllTables().back(); }

Result<std::unique_ptr<Model>> Load(Opened& opened, const kernels::KernelTable& table = Ref()) {
  return LoadModel(*opened.file, {.table = &table, .progress = {}}, opened.team);
}

Status LoadStatus(const ModelMaker& maker) {
  auto opened = Open(maker);
  return Load(*opened).status();
}

// The error of a file made with one change, which must name `what`.
void ExpectRefused(const ModelMaker& maker, const std::string& what) {
  const Status status = LoadStatus(maker);
  ASSERT_FALSE(status.ok()) << what;
  EXPECT_NE(status.message().find(what), std::string::npos) << status.message();
  EXPECT_EQ(status.message().find('\n'), std::string::npos) << status.message();
}

// Logits [rows, vocab] of `ids` in one step.
std::vector<float> Step(Opened& opened, Model& model, const std::vector<int32_t>& ids) {
  const ModelInfo& info = model.info();
  const int blocks = static_cast<int>(ids.size()) / kernels::kKvBlockTokens + 1;
  auto kv = kv::KvStorage::Create(info.layers, blocks, info.kv_block_bytes);
  EXPECT_TRUE(kv.ok());
  std::vector<int32_t> table(blocks), rows(ids.size());
  std::iota(table.begin(), table.end(), 0);
  std::iota(rows.begin(), rows.end(), 0);
  const SequenceRows sequence{.row_begin = 0, .rows = static_cast<int>(ids.size()), .position = 0,
                              .block_table = table};
  std::vector<float> logits(ids.size() * info.vocab_size);
  nn::Team::Turn turn(opened.team);
  model.Forward({.tokens = ids, .sequences = {&sequence, 1}, .logit_rows = rows}, *kv, opened.team,
                logits);
  return logits;
}

TEST(LoadModel, DescribesWhatItLoaded) {
  ModelMaker maker{.layers = 3};
  maker.dtype = DType::kQ8_0;
  maker.feed_forward = 64;
  maker.tensors = {{"token_embd.weight", DType::kF16, {4000, 32}, {}}};  // outweighs the layers
  maker.keys["general.name"] = std::string_view("A name");
  auto opened = Open(maker);
  auto model = Load(*opened);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const ModelInfo& info = (*model)->info();
  EXPECT_EQ(info.architecture, "llama");
  EXPECT_EQ(info.name, "A name");
  EXPECT_EQ(info.quantization, "Q8_0");
  EXPECT_EQ(info.vocab_size, 4000);
  EXPECT_EQ(info.context_length, 256);
  EXPECT_EQ(info.layers, 3);
  EXPECT_EQ(info.kv_block_bytes, kernels::KvBlockBytes(2, 8));
  const uint64_t layer = 32 * 32 * 2 + 16 * 32 * 2 + 3 * 64 * 32 + 2 * 32;
  EXPECT_EQ(info.parameters, 4000 * 32 + 32 + 3 * layer);
  EXPECT_GT(info.weight_bytes, 0u);
}

TEST(LoadModel, NamesAnArchitectureItDoesNotKnow) {
  ModelMaker maker;
  maker.keys["general.architecture"] = std::string_view("rwkv\n\x01");
  const Status status = LoadStatus(maker);
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_NE(status.message().find("rwkv"), std::string::npos);
  EXPECT_NE(status.message().find("llama, gemma2, gemma3"), std::string::npos);
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
  maker.keys.clear();
  maker.without = {"general.architecture"};
  ExpectRefused(maker, "general.architecture");
}

TEST(LoadModel, EveryKeyThatIsNeededIsAskedForByName) {
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length", "context_length",
                          "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    ModelMaker maker;
    maker.without = {std::string("llama.") + key};
    ExpectRefused(maker, key);
  }
}

TEST(LoadModel, EveryTensorThatIsNeededIsAskedForByName) {
  for (const std::string& architecture : KnownArchitectures()) {
    ModelMaker maker{.architecture = architecture, .layers = 2};
    auto opened = Open(maker);
    for (const format::Tensor& tensor : opened->file->tensors()) {
      ModelMaker lacking = maker;
      lacking.without = {tensor.name};
      ExpectRefused(lacking, tensor.name);
    }
  }
}

TEST(LoadModel, EveryTensorOfAnotherShapeIsRefusedByName) {
  for (const std::string& architecture : KnownArchitectures()) {
    ModelMaker maker{.architecture = architecture};
    auto opened = Open(maker);
    for (const format::Tensor& tensor : opened->file->tensors()) {
      if (tensor.name == "token_embd.weight") continue;  // its rows say how large the vocabulary is
      for (size_t d = 0; d < tensor.shape.size(); ++d) {
        for (const int step : {-1, +1}) {
          ModelMaker wrong = maker;
          wrong.tensors = {{tensor.name, DType::kF32, tensor.shape, {}}};
          wrong.tensors[0].shape[d] += step;
          ExpectRefused(wrong, tensor.name);
        }
      }
    }
  }
}

TEST(LoadModel, KeysOfOneFamilyOutOfBoundsAreRefusedAndNamed) {
  struct Case {
    const char* architecture;
    const char* key;
    MetadataValue value;
  };
  const std::vector<Case> cases = {
      {"gemma2", "gemma2.attn_logit_softcapping", -1.0},
      {"gemma2", "gemma2.attn_logit_softcapping", 2e6},
      {"gemma2", "gemma2.final_logit_softcapping", -1.0},
      {"gemma2", "gemma2.final_logit_softcapping", std::string_view("30")},
      {"phi3", "phi3.rope.scaling.original_context_length", uint64_t{0}},
      {"phi3", "phi3.rope.scaling.original_context_length", uint64_t{kContextMax + 1}},
      {"phi3", "phi3.rope.scaling.attn_factor", 0.0},
      {"phi3", "phi3.rope.scaling.attn_factor", 11.0},
  };
  for (const Case& c : cases) {
    ModelMaker maker{.architecture = c.architecture};
    if (maker.architecture == "phi3") {
      maker.tensors = {{"rope_factors_short.weight", DType::kF32, {maker.head_dim / 2}, {1.f, 1.f, 2.f, 2.f}}};
      maker.keys["phi3.rope.scaling.original_context_length"] = uint64_t{64};
    }
    EXPECT_TRUE(LoadStatus(maker).ok()) << LoadStatus(maker).message();
    maker.keys[c.key] = c.value;
    ExpectRefused(maker, c.key);
  }
}

TEST(LoadModel, KeysOutOfBoundsAreRefusedAndNamed) {
  struct Case {
    const char* key;
    MetadataValue value;
  };
  const std::vector<Case> cases = {
      {"llama.block_count", uint64_t{0}},
      {"llama.block_count", uint64_t{kLayersMax + 1}},
      {"llama.block_count", uint64_t{1} << 40},
      {"llama.block_count", int64_t{-1}},
      {"llama.block_count", std::string_view("1")},
      {"llama.embedding_length", uint64_t{0}},
      {"llama.embedding_length", uint64_t{kDimMax + 1}},
      {"llama.feed_forward_length", uint64_t{kFeedForwardMax + 1}},
      {"llama.context_length", uint64_t{0}},
      {"llama.context_length", uint64_t{kContextMax + 1}},
      {"llama.attention.head_count", uint64_t{0}},
      {"llama.attention.head_count", uint64_t{kHeadsMax + 1}},
      {"llama.attention.head_count_kv", uint64_t{0}},
      {"llama.attention.head_count_kv", uint64_t{3}},  // 4 heads
      {"llama.attention.key_length", uint64_t{7}},
      {"llama.attention.key_length", uint64_t{0}},
      {"llama.attention.key_length", uint64_t{kHeadDimMax + 2}},
      {"llama.attention.value_length", uint64_t{16}},
      {"llama.attention.sliding_window", uint64_t{kContextMax + 1}},
      {"llama.attention.layer_norm_rms_epsilon", -1.0},
      {"llama.attention.layer_norm_rms_epsilon", 2.0},
      {"llama.rope.freq_base", 0.0},
      {"llama.rope.freq_base", 1e30},
      {"llama.rope.dimension_count", uint64_t{10}},
      {"llama.rope.dimension_count", uint64_t{5}},
      {"llama.rope.scaling.type", std::string_view("yarn")},
      {"llama.rope.scaling.factor", 0.0},
      {"llama.expert_count", uint64_t{8}},
      {"general.sampling.temp", -1.0},
      {"general.sampling.top_p", 1.5},
      {"general.sampling.top_k", int64_t{-1}},
  };
  for (const Case& c : cases) {
    ModelMaker maker;
    maker.keys[c.key] = c.value;
    ExpectRefused(maker, c.key);
  }
}

TEST(LoadModel, KeysAtTheirBoundsAreTaken) {
  ModelMaker maker;
  maker.keys = {{"llama.context_length", uint64_t{kContextMax}},
                {"llama.attention.sliding_window", uint64_t{kContextMax}},
                {"llama.attention.layer_norm_rms_epsilon", 0.0},
                {"llama.rope.dimension_count", uint64_t{2}},
                {"llama.rope.scaling.type", std::string_view("none")},
                {"llama.expert_count", uint64_t{0}}};
  EXPECT_TRUE(LoadStatus(maker).ok()) << LoadStatus(maker).message();
  ModelMaker wide{.dim = 4, .feed_forward = 1, .vocab = 1, .heads = 1, .kv_heads = 1,
                  .head_dim = kHeadDimMax};
  EXPECT_TRUE(LoadStatus(wide).ok()) << LoadStatus(wide).message();
  ModelMaker deep{.layers = kLayersMax, .dim = 2, .feed_forward = 1, .vocab = 2, .heads = 1,
                  .kv_heads = 1, .head_dim = 2};
  EXPECT_TRUE(LoadStatus(deep).ok()) << LoadStatus(deep).message();
}

TEST(LoadModel, RefusesTensorsThatItsGraphWouldNotUse) {
  ModelMaker maker;
  maker.tensors = {{"blk.0.attn_q.bias", DType::kF32, {32}, {}}};
  ExpectRefused(maker, "blk.0.attn_q.bias");
  maker.tensors = {{"blk.1.attn_norm.weight", DType::kF32, {32}, {}}};  // layer 1 of 1
  ExpectRefused(maker, "blk.1.attn_norm.weight");
}

TEST(LoadModel, NormsMustBeFloats) {
  ModelMaker maker;
  maker.tensors = {{"blk.0.attn_norm.weight", DType::kQ8_0, {32}, {}}};
  ExpectRefused(maker, "blk.0.attn_norm.weight");
  for (const DType type : {DType::kF16, DType::kBF16}) {
    maker.tensors[0].dtype = type;
    EXPECT_TRUE(LoadStatus(maker).ok());
  }
}

TEST(LoadModel, RopeFactorsMustBeDivisors) {
  ModelMaker maker;
  for (const float bad : {0.f, -1.f, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    maker.tensors = {{"rope_freqs.weight", DType::kF32, {4}, {1.f, 2.f, bad, 4.f}}};
    ExpectRefused(maker, "rope_freqs.weight");
  }
  maker.tensors = {{"rope_freqs.weight", DType::kF32, {5}, {1.f, 2.f, 3.f, 4.f, 5.f}}};
  ExpectRefused(maker, "rope_freqs.weight");
  maker.tensors = {{"rope_freqs.weight", DType::kF32, {4}, {1.f, 2.f, 3.f, 4.f}}};
  EXPECT_TRUE(LoadStatus(maker).ok());
}

TEST(LoadModel, AVocabularyLargerThanTheEmbeddingIsRefused) {
  ModelMaker maker{.vocab = 2};
  maker.keys["tokenizer.ggml.tokens"] = std::vector<std::string_view>{"a", "b", "c"};
  ExpectRefused(maker, "tokenizer.ggml.tokens");
  maker.vocab = 3;
  EXPECT_TRUE(LoadStatus(maker).ok());
}

// The file claims an embedding of a tebibyte and is as long as it claims, with nothing in it.
TEST(LoadModel, TooLittleMemoryIsFoundBeforeLoading) {
  ModelMaker maker{.dim = 65536, .feed_forward = 1, .vocab = 5, .heads = 1, .kv_heads = 1,
                   .head_dim = 2};
  // Written last, so that the offsets of the others stay true when it grows.
  maker.tensors = {{"token_embd.weight", DType::kF32, {5, 65536}, {}}};
  TempFile temp;
  ASSERT_TRUE(maker.Make().Write(temp.path).ok());
  std::fstream file(temp.path, std::ios::in | std::ios::out | std::ios::binary);
  std::string head(1 << 16, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const std::string name = "token_embd.weight";
  const size_t at = head.find(name);
  ASSERT_NE(at, std::string::npos);
#ifdef __SANITIZE_THREAD__
  constexpr uint64_t rows = kVocabMax / 4;  // TSan leaves a program 1.5 TiB of addresses, in pieces
#else
  constexpr uint64_t rows = kVocabMax;
#endif
  constexpr uint64_t bytes = rows * 65536 * sizeof(float);
  // Behind the name: the number of dimensions, the inner size, then the rows.
  file.seekp(static_cast<std::streamoff>(at + name.size() + sizeof(uint32_t) + sizeof(uint64_t)));
  file.write(reinterpret_cast<const char*>(&rows), sizeof rows);
  file.close();
  ASSERT_EQ(truncate(temp.path.c_str(), static_cast<int64_t>(bytes + (1 << 24))), 0)
      << "the folder of temporary files holds no sparse file of " << bytes << " bytes";
  auto opened = format::ModelFile::Open(temp.path);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  nn::Team team({.threads = 1, .pin = false});
  const uint64_t before = ReadMemoryState().resident_bytes;
  const Status status = LoadModel(**opened, {.table = &Ref(), .progress = {}}, team).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find(("needs " + std::to_string(bytes >> 20)).substr(0, 9)), std::string::npos)
      << status.message();
  EXPECT_NE(status.message().find("are available"), std::string::npos) << status.message();
  EXPECT_LT(ReadMemoryState().resident_bytes, before + (uint64_t{64} << 20));
}

TEST(LoadModel, SamplingDefaultsComeFromTheFileOverTheFamily) {
  ModelMaker gemma{.architecture = "gemma3"};
  gemma.keys["general.sampling.temp"] = 0.5;
  auto opened = Open(gemma);
  auto model = Load(*opened);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const SamplingDefaults& got = (*model)->info().sampling;
  EXPECT_EQ(got.temperature, 0.5f);
  EXPECT_EQ(got.top_k, 64);
  EXPECT_EQ(got.top_p, 0.95f);
  EXPECT_EQ(got.min_p, std::nullopt);
}

TEST(LoadModel, ShowsProgressUpToTheEnd) {
  ModelMaker maker{.layers = 2};
  auto opened = Open(maker);
  uint64_t last = 0, total = 0;
  auto model = LoadModel(*opened->file, {.table = &Ref(), .progress = [&](uint64_t done, uint64_t of) {
                           EXPECT_GE(done, last);
                           last = done;
                           total = of;
                         }}, opened->team);
  ASSERT_TRUE(model.ok());
  EXPECT_GT(total, 0u);
  EXPECT_EQ(last, total);
}

TEST(Forward, EveryTableGivesTheBitsOfItsDefinitionOnOddShapes) {
  std::vector<int32_t> ids;
  for (int i = 0; i < 37; ++i) ids.push_back(i * 7 % 23);
  for (const std::string& architecture : KnownArchitectures()) {
    ModelMaker maker{.architecture = architecture, .layers = 2, .dim = 22, .feed_forward = 37,
                     .vocab = 23, .heads = 6, .kv_heads = 2, .head_dim = 10};
    auto opened = Open(maker);
    for (const auto* table : kernels::AllTables()) {
      if (!table->usable(UsableCpuFeatures())) continue;
      auto definition = Load(*opened, kernels::DefinitionOf(*table));
      ASSERT_TRUE(definition.ok()) << definition.status().message();
      const std::vector<float> want = Step(*opened, **definition, ids);
      auto model = Load(*opened, *table);
      ASSERT_TRUE(model.ok());
      const std::vector<float> got = Step(*opened, **model, ids);
      if (table->definition != nullptr) {  // tiles: bits are the kernels' tests' matter
        for (size_t i = 0; i < want.size(); ++i) {
          EXPECT_NEAR(got[i], want[i], 0.02 * (1 + std::fabs(want[i]))) << architecture;
        }
        continue;
      }
      EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
          << architecture << " on " << table->name;
    }
  }
}

TEST(Forward, StackedMatricesAreTheirParts) {
  ModelMaker apart{.feed_forward = 32};
  apart.dtype = DType::kQ8_0;
  apart.keys["llama.rope.halves"] = true;
  ModelMaker stacked = apart;
  stacked.architecture = "phi3";
  stacked.keys.clear();
  Random random(7);
  const auto values = [&](int rows) {
    std::vector<float> out(static_cast<size_t>(rows) * 32);
    for (float& value : out) value = static_cast<float>(random.Uniform() - 0.5);
    return out;
  };
  const auto stack = [&](const char* whole, const std::vector<std::pair<const char*, int>>& parts) {
    std::vector<float> all;
    for (const auto& [name, rows] : parts) {
      const std::vector<float> part = values(rows);
      apart.tensors.push_back({std::string("blk.0.") + name + ".weight", DType::kQ8_0, {rows, 32}, part});
      all.insert(all.end(), part.begin(), part.end());
    }
    stacked.tensors.push_back({std::string("blk.0.") + whole + ".weight", DType::kQ8_0,
                               {static_cast<int64_t>(all.size() / 32), 32}, all});
  };
  stack("attn_qkv", {{"attn_q", 32}, {"attn_k", 16}, {"attn_v", 16}});
  stack("ffn_up", {{"ffn_gate", 32}, {"ffn_up", 32}});
  for (ModelMaker* maker : {&apart, &stacked}) {
    for (const char* name : {"token_embd", "blk.0.attn_output", "blk.0.ffn_down"}) {
      const int rows = std::string_view(name) == "token_embd" ? 40 : 32;
      random = Random(static_cast<uint64_t>(name[4]));
      maker->tensors.push_back({std::string(name) + ".weight", DType::kQ8_0, {rows, 32}, values(rows)});
    }
    for (const char* name : {"output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"}) {
      maker->tensors.push_back({std::string(name) + ".weight", DType::kF32, {32}, std::vector<float>(32, 1.f)});
    }
  }
  auto a = Open(apart), b = Open(stacked);
  auto one = Load(*a), other = Load(*b);
  ASSERT_TRUE(one.ok() && other.ok()) << one.status().message() << other.status().message();
  EXPECT_EQ((*other)->info().parameters, (*one)->info().parameters);
  EXPECT_EQ((*other)->info().quantization, "Q8_0");
  EXPECT_EQ(Step(*a, **one, {1, 2, 3, 4}), Step(*b, **other, {1, 2, 3, 4}));
}

TEST(Forward, LogitsOfSomeRowsAreThoseOfAllRows) {
  ModelMaker maker{.layers = 2};
  auto opened = Open(maker);
  auto model = Load(*opened);
  ASSERT_TRUE(model.ok());
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7};
  const std::vector<float> all = Step(*opened, **model, ids);
  auto kv = kv::KvStorage::Create(2, 1, (*model)->info().kv_block_bytes);
  ASSERT_TRUE(kv.ok());
  const std::vector<int32_t> block = {0}, rows = {2, 6};
  const SequenceRows sequence{.row_begin = 0, .rows = 7, .position = 0, .block_table = block};
  std::vector<float> some(2 * 40);
  nn::Team::Turn turn(opened->team);
  (*model)->Forward({.tokens = ids, .sequences = {&sequence, 1}, .logit_rows = rows}, *kv,
                    opened->team, some);
  EXPECT_EQ(std::memcmp(some.data(), all.data() + 2 * 40, 40 * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(some.data() + 40, all.data() + 6 * 40, 40 * sizeof(float)), 0);
}

TEST(Forward, AStepWithoutLogitsWritesTheCacheForTheNext) {
  for (const std::string& architecture : KnownArchitectures()) {
    ModelMaker maker{.architecture = architecture, .layers = 2};
    auto opened = Open(maker);
    auto model = Load(*opened);
    ASSERT_TRUE(model.ok());
    std::vector<int32_t> ids;
    for (int i = 0; i < 21; ++i) ids.push_back(i * 3 % 40);
    const std::vector<float> all = Step(*opened, **model, ids);
    auto kv = kv::KvStorage::Create(2, 4, (*model)->info().kv_block_bytes);
    ASSERT_TRUE(kv.ok());
    const std::vector<int32_t> block = {3, 1}, other = {0}, last = {1};
    SequenceRows first{.row_begin = 0, .rows = 20, .position = 0, .block_table = block};
    nn::Team::Turn turn(opened->team);
    (*model)->Forward({.tokens = std::span(ids).first(20), .sequences = {&first, 1}, .logit_rows = {}},
                      *kv, opened->team, {});
    // The next token, behind a row of another sequence.
    const std::vector<int32_t> tokens = {7, ids[20]};
    const std::vector<SequenceRows> both = {
        {.row_begin = 0, .rows = 1, .position = 0, .block_table = other},
        {.row_begin = 1, .rows = 1, .position = 20, .block_table = block}};
    std::vector<float> logits(40);
    (*model)->Forward({.tokens = tokens, .sequences = both, .logit_rows = last}, *kv, opened->team,
                      logits);
    EXPECT_EQ(std::memcmp(logits.data(), all.data() + 20 * 40, 40 * sizeof(float)), 0)
        << architecture;
  }
}

TEST(Forward, RopeFactorsAndWindowMatter) {
  std::vector<int32_t> ids;
  for (int i = 0; i < 24; ++i) ids.push_back(i * 5 % 40);
  const auto logits = [&](const ModelMaker& maker) {
    auto opened = Open(maker);
    auto model = Load(*opened);
    EXPECT_TRUE(model.ok());
    return Step(*opened, **model, ids);
  };
  ModelMaker plain;
  const std::vector<float> base = logits(plain);
  ModelMaker factors = plain;
  factors.tensors = {{"rope_freqs.weight", DType::kF32, {4}, {1.f, 2.f, 4.f, 8.f}}};
  EXPECT_NE(logits(factors), base);
  ModelMaker ones = plain;
  ones.tensors = {{"rope_freqs.weight", DType::kF32, {4}, {1.f, 1.f, 1.f, 1.f}}};
  EXPECT_EQ(logits(ones), base);
  ModelMaker window = plain;
  window.keys["llama.attention.sliding_window"] = uint64_t{8};
  const std::vector<float> near = logits(window);
  // Up to eight positions see everything there is; the ninth does not.
  EXPECT_EQ(std::memcmp(near.data(), base.data(), 8 * 40 * sizeof(float)), 0);
  EXPECT_NE(std::memcmp(near.data() + 8 * 40, base.data() + 8 * 40, 40 * sizeof(float)), 0);
}

}  // namespace
}  // namespace pelton::models
