// Batch invariance: the logits of a sequence have the same bits alone, among sixteen others, with
// any prefill chunk and with one thread or two.
#include <numeric>

#include "base/random.h"
#include "golden_models.h"
#include "models/evaluate.h"

namespace pelton::golden {
namespace {

constexpr int kBlock = kernels::kKvBlockTokens;

struct Sequence {
  std::vector<int32_t> ids;
  std::vector<int32_t> blocks;  // its block table
  size_t done = 0;
};

// Deterministic token ids for `count` sequences of lengths around `length`, in shuffled KV blocks.
std::vector<Sequence> MakeSequences(int count, int length, int vocab, uint64_t seed) {
  Random random(seed);
  std::vector<Sequence> out(count);
  int blocks = 0;
  for (Sequence& s : out) {
    const int n = &s == out.data() ? length : 1 + static_cast<int>(random.Below(2 * length));
    for (int i = 0; i < n; ++i) s.ids.push_back(static_cast<int32_t>(random.Below(vocab)));
    for (int i = 0; i < (n + kBlock - 1) / kBlock; ++i) s.blocks.push_back(blocks++);
  }
  // Block numbers must not matter: exchange them at random between the sequences.
  for (Sequence& s : out) {
    for (int32_t& block : s.blocks) {
      Sequence& other = out[random.Below(out.size())];
      std::swap(block, other.blocks[random.Below(other.blocks.size())]);
    }
  }
  return out;
}

struct Plan {
  int threads = 1;
  int chunk = 64;    // most rows of one sequence in a step
  bool mixed = false;  // chunks of random sizes
  bool used = false;   // the cache holds what earlier sequences left
};

// Runs all sequences together; returns the logits [length, vocab] of the first.
std::vector<float> Run(models::Model& model, std::vector<Sequence> sequences, const Plan& plan) {
  nn::Team team({.threads = plan.threads, .pin = false});
  const models::ModelInfo& info = model.info();
  int blocks = 0;
  for (const Sequence& s : sequences) blocks += static_cast<int>(s.blocks.size());
  auto kv = kv::KvStorage::Create(info.layers, blocks, info.kv_block_bytes);
  EXPECT_TRUE(kv.ok());
  // 0x3c3c is a finite fp16 number, and 0x3c3c3c3c a finite fp32 one.
  if (plan.used) std::memset(kv->Layer(0), 0x3c, kv->total_bytes());
  Random random(99);
  std::vector<float> out, logits;
  while (sequences[0].done < sequences[0].ids.size()) {
    std::vector<int32_t> tokens, logit_rows;
    std::vector<models::SequenceRows> parts;
    size_t first_rows = 0;
    for (size_t i = 0; i < sequences.size(); ++i) {
      // The first goes last in the batch, so that its rows do not begin at 0.
      Sequence& s = sequences[sequences.size() - 1 - i];
      const bool is_first = &s == sequences.data();
      const size_t room = static_cast<size_t>(model.MaxRows()) - tokens.size();
      size_t rows = plan.mixed ? 1 + random.Below(plan.chunk) : plan.chunk;
      rows = std::min({rows, s.ids.size() - s.done, room});
      if (rows == 0) continue;
      parts.push_back({.row_begin = static_cast<int>(tokens.size()), .rows = static_cast<int>(rows),
                       .position = static_cast<int>(s.done), .block_table = s.blocks});
      for (size_t r = 0; r < rows; ++r) {
        if (is_first) logit_rows.push_back(static_cast<int32_t>(tokens.size()));
        tokens.push_back(s.ids[s.done + r]);
      }
      s.done += rows;
      if (is_first) first_rows = rows;
    }
    logits.resize(first_rows * info.vocab_size);
    {
      nn::Team::Turn turn(team);
      model.Forward({.tokens = tokens, .sequences = parts, .logit_rows = logit_rows}, *kv, team,
                    logits);
    }
    out.insert(out.end(), logits.begin(), logits.end());
  }
  return out;
}

size_t DifferentBits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  size_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += std::memcmp(&a[i], &b[i], sizeof(float)) != 0;
  return different;
}

void CheckInvariance(models::Model& model, int length, uint64_t seed) {
  const auto sequences = MakeSequences(17, length, model.info().vocab_size, seed);
  const std::vector<Sequence> alone(sequences.begin(), sequences.begin() + 1);
  std::vector<Sequence> renumbered = alone;  // alone, its blocks start at 0
  std::iota(renumbered[0].blocks.begin(), renumbered[0].blocks.end(), 0);
  const auto want = Run(model, renumbered, {.threads = 1, .chunk = 1});
  ASSERT_EQ(want.size(), static_cast<size_t>(length) * model.info().vocab_size);
  for (const Plan& plan : {Plan{.threads = 2, .chunk = 1}, Plan{.threads = 1, .chunk = 7},
                           Plan{.threads = 2, .chunk = 16, .used = true}, Plan{.threads = 2, .chunk = 512}}) {
    EXPECT_EQ(DifferentBits(want, Run(model, renumbered, plan)), 0u)
        << "alone, chunk " << plan.chunk << ", threads " << plan.threads;
  }
  for (const Plan& plan : {Plan{.threads = 1, .chunk = 24, .mixed = true},
                           Plan{.threads = 2, .chunk = 3},
                           Plan{.threads = 2, .chunk = 24, .mixed = true, .used = true}}) {
    EXPECT_EQ(DifferentBits(want, Run(model, sequences, plan)), 0u)
        << "among 16 others, chunk " << plan.chunk << ", threads " << plan.threads;
  }
}

class TinyInvariance : public testing::TestWithParam<const char*> {};

TEST_P(TinyInvariance, SameBitsOnEveryTable) {
  for (const auto* table : UsableTables()) {
    SCOPED_TRACE(std::string(table->name));
    nn::Team team({.threads = 1, .pin = false});
    Loaded tiny = Load(DataPath(std::string("tiny.") + GetParam() + ".gguf"), *table, team);
    ASSERT_NE(tiny.model, nullptr);
    CheckInvariance(*tiny.model, 71, 5);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TinyInvariance, testing::Values("llama", "mistral", "gemma2", "gemma3", "olmo2", "phi3-long", "qwen2", "qwen3"));

TEST(Invariance, SmolLm2HasTheSameBits) {
  nn::Team team({.threads = ComputeThreadBudget()});
  Loaded loaded = Load(ModelPath("smollm2"), BestTable(), team);
  ASSERT_NE(loaded.model, nullptr);
  CheckInvariance(*loaded.model, 50, 6);
}

}  // namespace
}  // namespace pelton::golden
