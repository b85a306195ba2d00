// What rounding to bf16 costs: the distributions of SmolLM2 on the table of AMX's tiles, emulated
// (kernels/testing/emulated_tables.h), against the fp32 reference. The first tokens of each text: the
// tiles are computed in software.
#include "golden_models.h"
#include "kernels/testing/emulated_tables.h"
#include "models/evaluate.h"

namespace pelton::golden {
namespace {

constexpr size_t kTokens = 65;  // of each of the four texts

models::Fidelity OnTable(const kernels::KernelTable& table, const models::KlReference& reference,
                         nn::Team& team) {
  models::Fidelity out;
  Loaded loaded = Load(ModelPath("smollm2"), table, team);
  if (loaded.model == nullptr) return out;
  for (const models::ReferenceDocument& document : reference.documents) {
    const auto ids = std::span(document.ids).first(std::min(kTokens, document.ids.size()));
    const Status status =
        models::Evaluate(*loaded.model, team, table, ids, &reference, &document, 64, out);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  std::printf("%s: %lld positions, mean KL %.6f, same first token %.2f %%, perplexity %+.3f %%\n",
              std::string(table.name).c_str(), static_cast<long long>(out.positions),
              out.mean_kl(), 100 * out.same_first_share(),
              100 * (out.perplexity() / out.reference_perplexity() - 1));
  return out;
}

// The best table that this machine can use and that is not on bf16 tiles itself.
const kernels::KernelTable& ExactTable() {
  for (const kernels::KernelTable* table : kernels::AllTables()) {
    if (table->definition == nullptr && table->usable(UsableCpuFeatures())) return *table;
  }
  return *kernels::AllTables().back();
}

TEST(TileFidelity, RoundingToBf16KeepsSmolLm2FarWithinTheBounds) {
  const std::vector<char> bytes = ReadAll(DataPath("logits.smollm2.bin"));
  auto reference = models::ReadKlReference(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(reference.ok()) << reference.status().message();
  nn::Team team({.threads = ComputeThreadBudget()});
  const auto tables = kernels::testing::EmulatedTables(UsableCpuFeatures());
  ASSERT_FALSE(tables.empty()) << "the emulator's vectors need AVX2";
  const models::Fidelity exact = OnTable(ExactTable(), *reference, team);
  const models::Fidelity tiles = OnTable(*tables.front(), *reference, team);
  EXPECT_EQ(tiles.positions, 4 * static_cast<int64_t>(kTokens - 1));
  EXPECT_LE(tiles.mean_kl(), 0.001);  // half of what the default mode may cost
  EXPECT_GE(tiles.same_first_share(), 0.97);
  EXPECT_GT(tiles.mean_kl(), exact.mean_kl()) << "it was not the tiles' table that ran";
}

}  // namespace
}  // namespace pelton::golden
