// Each family and feature against transformers' fp32 logits of the same tiny model, on every kernel
// table that this machine can run.
#include <cmath>

#include "golden_models.h"
#include "models/evaluate.h"

namespace pelton::golden {
namespace {

// Keys and values are kept in fp16 and everything else in fp32: differences stay near 1e-3 of the
// logits' range. A wrong rotation, window or scale is off by whole units.
constexpr double kRmsErrorMax = 0.004;
constexpr double kErrorMax = 0.05;

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
    double squares = 0.0, worst = 0.0;
    const Status status = models::RunSequence(
        *tiny.model, team, want.ids, 48, [&](size_t at, std::span<const float> logits) {
          for (size_t i = 0; i < logits.size(); ++i) {
            const double error = logits[i] - want.logits[at * logits.size() + i];
            squares += error * error;
            worst = std::max(worst, std::abs(error));
          }
        });
    ASSERT_TRUE(status.ok()) << status.message();
    const double rms = std::sqrt(squares / static_cast<double>(want.logits.size()));
    EXPECT_LT(rms, kRmsErrorMax) << table->name;
    EXPECT_LT(worst, kErrorMax) << table->name;
    std::printf("%s on %s: rms %.5f, worst %.5f\n", name.c_str(), std::string(table->name).c_str(),
                rms, worst);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Tiny,
                         testing::Values("llama", "llama3", "llama-linear", "mistral", "gemma3"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pelton::golden
