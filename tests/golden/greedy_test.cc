// Greedy text of the real models. The reference's own tokens are fed, so that one near tie does not
// hide what follows; wherever its first two candidates are more than kGap apart, ours must agree.
#include "codec/json.h"
#include "golden_models.h"
#include "models/evaluate.h"

namespace pelton::golden {
namespace {

constexpr double kGap = 0.3;  // nats
constexpr int kChunk = 64;

std::vector<double> Numbers(const codec::Json& item, std::string_view key) {
  std::vector<double> out;
  const codec::Json* list = item.Find(key);
  if (list == nullptr || list->AsArray() == nullptr) {
    ADD_FAILURE() << "no list " << key;
    return out;
  }
  for (const codec::Json& v : *list->AsArray()) out.push_back(v.AsDouble().value_or(-1));
  return out;
}

void Compare(const std::string& name, int prompts_min, int decided_min) {
  const std::vector<char> bytes = ReadAll(DataPath("greedy." + name + ".json"));
  auto items = codec::ParseJson(std::string_view(bytes.data(), bytes.size()));
  ASSERT_TRUE(items.ok()) << items.status().message();
  ASSERT_NE(items->AsArray(), nullptr);
  nn::Team team({.threads = ComputeThreadBudget()});
  const kernels::KernelTable& table = BestTable();
  Loaded loaded = Load(ModelPath(name), table, team);
  ASSERT_NE(loaded.model, nullptr);
  int decided = 0, ties = 0, other = 0;
  for (const codec::Json& item : *items->AsArray()) {
    std::vector<int32_t> ids;
    for (const double id : Numbers(item, "prompt_ids")) ids.push_back(static_cast<int32_t>(id));
    const size_t prompt = ids.size();
    const std::vector<double> answer = Numbers(item, "ids"), gaps = Numbers(item, "gaps");
    ASSERT_EQ(answer.size(), gaps.size());
    for (const double id : answer) ids.push_back(static_cast<int32_t>(id));
    const Status status = models::RunSequence(
        *loaded.model, team, ids, kChunk, [&](size_t at, std::span<const float> logits) {
          if (at + 1 < prompt || at + 1 >= ids.size()) return;
          const int first = table.argmax(logits.data(), static_cast<int>(logits.size()));
          const double gap = gaps[at + 1 - prompt];
          if (gap <= kGap) {
            ++ties;
            other += first != ids[at + 1];
            return;
          }
          ++decided;
          EXPECT_EQ(first, ids[at + 1]) << "step " << at + 1 - prompt << ", gap " << gap;
        });
    ASSERT_TRUE(status.ok()) << status.message();
  }
  std::printf("%s on %s: %d steps decided, all equal unless reported; %d of %d near ties differ\n",
              name.c_str(), std::string(table.name).c_str(), decided, other, ties);
  EXPECT_GE(items->AsArray()->size(), static_cast<size_t>(prompts_min));
  EXPECT_GE(decided, decided_min);
}

TEST(Greedy, SmolLm2AgreesWhereverTheReferenceIsSure) { Compare("smollm2", 20, 500); }
TEST(Greedy, Gemma3AgreesWhereverTheReferenceIsSure) { Compare("gemma3", 20, 700); }

}  // namespace
}  // namespace pelton::golden
