// Each family and feature against transformers' fp32 logits of the same tiny model, on every kernel
// table that this machine can run.
#include <cmath>

#include "golden_models.h"
#include "models/evaluate.h"

namespace pelton::golden {
namespace {

class Tiny : public testing::TestWithParam<const char*> {};

TEST_P(Tiny, LogitsEqualTheReference) {
  const std::string name = GetParam();
  const TinyLogits want = ReadTinyLogits(DataPath("tiny." + name + ".logits.bin"));
  ASSERT_GT(want.tokens, 0);
  for (const auto* table : UsableTables()) {
    nn::Team team({.threads = 2, .pin = false});
    Loaded tiny = Load(DataPath("tiny." + name + ".gguf"), *table, team);
    ASSERT_NE(tiny.model, nullptr);
    ASSERT_EQ(tiny.model->info().vocab_size, want.vocab);
    LogitErrors errors;
    const Status status = models::RunSequence(
        *tiny.model, team, want.ids, 48, [&](size_t at, std::span<const float> logits) {
          errors.Add(logits, want.logits.data() + at * logits.size());
        });
    ASSERT_TRUE(status.ok()) << status.message();
    ExpectNear(errors, *table);
    std::printf("%s on %s: rms %.5f, worst %.5f, mean KL %.6f\n", name.c_str(),
                std::string(table->name).c_str(), errors.rms(), errors.worst, errors.mean_kl());
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Tiny,
                         testing::Values("llama", "llama3", "llama-linear", "mistral", "gemma2", "gemma3", "olmo2",
                                         "phi3", "phi3-long", "qwen2", "qwen3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pelton::golden
