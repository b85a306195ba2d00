// Distributions of the real models against the fp32 reference over English text.
#include "golden_models.h"
#include "models/evaluate.h"

namespace pelton::golden {
namespace {

constexpr int kChunk = 64;  // logits of this many positions are held at a time

models::Fidelity Compare(const std::string& name) {
  models::Fidelity out;
  const std::vector<char> bytes = ReadAll(DataPath("logits." + name + ".bin"));
  auto reference = models::ReadKlReference(std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(reference.ok()) << reference.status().message();
  nn::Team team({.threads = ComputeThreadBudget()});
  const kernels::KernelTable& table = BestTable();
  Loaded loaded = Load(ModelPath(name), table, team);
  if (!reference.ok() || loaded.model == nullptr) return out;
  for (const models::ReferenceDocument& document : reference->documents) {
    const Status status = models::Evaluate(*loaded.model, team, table, document.ids, &*reference,
                                           &document, kChunk, out);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  std::printf("%s on %s: %lld positions, mean KL %.6f, same first token %.2f %%, perplexity %.4f "
              "against %.4f (%+.3f %%)\n", name.c_str(), std::string(table.name).c_str(),
              static_cast<long long>(out.positions), out.mean_kl(), 100 * out.same_first_share(),
              out.perplexity(), out.reference_perplexity(),
              100 * (out.perplexity() / out.reference_perplexity() - 1));
  return out;
}

TEST(Fidelity, SmolLm2StaysWithinTheBounds) {
  const models::Fidelity got = Compare("smollm2");
  EXPECT_GE(got.positions, 3000);
  EXPECT_LE(got.mean_kl(), 0.002);
  EXPECT_GE(got.same_first_share(), 0.97);
  EXPECT_NEAR(got.perplexity() / got.reference_perplexity(), 1.0, 0.003);
}

TEST(Fidelity, Gemma3StaysWithinTheBounds) {
  const models::Fidelity got = Compare("gemma3");
  EXPECT_GE(got.positions, 3000);
  EXPECT_LE(got.mean_kl(), 0.003);
  EXPECT_GE(got.same_first_share(), 0.97);
  EXPECT_NEAR(got.perplexity() / got.reference_perplexity(), 1.0, 0.005);
}

}  // namespace
}  // namespace pelton::golden
