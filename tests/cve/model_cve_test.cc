// Rows 3, 6 and 7 where a model's graph is built from what a file says. tests/cve/README.md.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <numeric>

#include "base/cpu.h"
#include "models/hyper.h"
#include "models/model.h"
#include "models/testing/model_maker.h"

namespace pelton::models {
namespace {

struct Opened {
  explicit Opened(const ModelMaker& maker) {
    char name[] = "/tmp/pelton_cve_XXXXXX";
    const int fd = mkstemp(name);
    CHECK(fd >= 0, "mkstemp");
    close(fd);
    EXPECT_TRUE(maker.Make().Write(name).ok());
    auto opened = format::ModelFile::Open(name);
    unlink(name);  // the mapping holds it
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    if (opened.ok()) file = *std::move(opened);
  }
  std::unique_ptr<format::ModelFile> file;
};

Result<std::unique_ptr<Model>> Load(const Opened& opened, nn::Team& team,
                                    const kernels::KernelTable* table) {
  return LoadModel(*opened.file, {.table = table, .progress = {}}, team);
}

std::vector<const kernels::KernelTable*> UsableTables() {
  std::vector<const kernels::KernelTable*> out;
  for (const auto* table : kernels::AllTables()) {
    if (table->usable(UsableCpuFeatures())) out.push_back(table);
  }
  return out;
}

// Row 6: values of metadata used unchecked. Every integer key at every boundary is an error that
// names a key or a tensor, or a model that loads; memory stays small.
TEST(ModelCve, Row6_EveryHyperParameterAtEveryBoundary) {
  nn::Team team({.threads = 1, .pin = false});
  const uint64_t before = ReadMemoryState().resident_bytes;
  for (const char* key : {"block_count", "embedding_length", "feed_forward_length", "context_length",
                          "attention.head_count", "attention.head_count_kv", "attention.key_length",
                          "attention.value_length", "attention.sliding_window",
                          "rope.dimension_count", "expert_count"}) {
    for (const uint64_t value : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << 31) - 1, uint64_t{1} << 31,
                                 (uint64_t{1} << 32) - 1, uint64_t{1} << 32, uint64_t{1} << 63,
                                 ~uint64_t{0}}) {
      ModelMaker maker;
      maker.keys[std::string("llama.") + key] = value;
      const Opened opened(maker);
      auto model = Load(opened, team, kernels::AllTables().back());
      if (model.ok()) continue;
      const std::string& message = model.status().message();
      EXPECT_TRUE(message.find("llama.") != std::string::npos ||
                  message.find(".weight") != std::string::npos) << key << ": " << message;
    }
  }
  EXPECT_LT(ReadMemoryState().resident_bytes, before + (uint64_t{128} << 20));
}

// Row 3: products of sizes that wrap. All of them at their largest at once, in a small file.
TEST(ModelCve, Row3_ProductsOfTheLargestHyperParametersDoNotWrap) {
  nn::Team team({.threads = 1, .pin = false});
  ModelMaker maker;
  maker.keys = {{"llama.block_count", uint64_t{kLayersMax}},
                {"llama.embedding_length", uint64_t{kDimMax}},
                {"llama.feed_forward_length", uint64_t{kFeedForwardMax}},
                {"llama.context_length", uint64_t{kContextMax}},
                {"llama.attention.head_count", uint64_t{kHeadsMax}},
                {"llama.attention.head_count_kv", uint64_t{kHeadsMax}},
                {"llama.attention.key_length", uint64_t{kHeadDimMax}},
                {"llama.attention.value_length", uint64_t{kHeadDimMax}}};
  const Opened opened(maker);
  auto model = Load(opened, team, kernels::AllTables().back());
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.status().message().find("token_embd.weight"), std::string::npos)
      << model.status().message();
}

// Row 7: a 32-bit index in a kernel returned another user's result. KV blocks whose bytes begin
// above 2^32 give the bits of blocks at 0, on every table.
TEST(ModelCve, Row7_2026_73558_BlocksAbove32BitsGiveTheSameBits) {
  ModelMaker maker{.dim = 16, .feed_forward = 16, .vocab = 16, .heads = 8, .kv_heads = 8,
                   .head_dim = 256};
  const Opened opened(maker);
  nn::Team team({.threads = 2, .pin = false});
  std::vector<int32_t> ids(40), rows(40);
  for (int i = 0; i < 40; ++i) ids[i] = i * 7 % 16;
  std::iota(rows.begin(), rows.end(), 0);
  for (const auto* table : UsableTables()) {
    auto model = Load(opened, team, table);
    ASSERT_TRUE(model.ok()) << model.status().message();
    const size_t block_bytes = (*model)->info().kv_block_bytes;
    const int blocks = static_cast<int>((uint64_t{5} << 30) / block_bytes);  // untouched but for six
    auto kv = kv::KvStorage::Create(1, blocks, block_bytes);
    ASSERT_TRUE(kv.ok()) << kv.status().message();
    ASSERT_GT(static_cast<uint64_t>(blocks - 3) * block_bytes, uint64_t{1} << 32);
    const auto step = [&](const std::vector<int32_t>& where) {
      const SequenceRows sequence{.row_begin = 0, .rows = 40, .position = 0, .block_table = where};
      std::vector<float> logits(40 * 16);
      nn::Team::Turn turn(team);
      (*model)->Forward({.tokens = ids, .sequences = {&sequence, 1}, .logit_rows = rows}, *kv, team,
                        logits);
      return logits;
    };
    const std::vector<float> low = step({0, 1, 2});
    // What lies 2^32 bytes below the high blocks must not be read or written.
    const std::vector<float> high = step({blocks - 1, blocks - 2, blocks - 3});
    EXPECT_EQ(std::memcmp(low.data(), high.data(), low.size() * sizeof(float)), 0) << table->name;
    EXPECT_EQ(step({0, 1, 2}), low) << table->name;
  }
}

}  // namespace
}  // namespace pelton::models
