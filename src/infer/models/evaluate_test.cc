#include "models/evaluate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kv/kv_storage.h"

namespace pelton::models {
namespace {

constexpr int kVocab = 6;

// Gives log-probabilities that depend on the token alone, as logits shifted by a constant.
class TableModel final : public Model {
 public:
  TableModel() {
    info_.vocab_size = kVocab;
    info_.layers = 1;
    info_.kv_block_bytes = 64;
  }
  const ModelInfo& info() const override { return info_; }
  int MaxRows() const override { return 4; }
  void Forward(const BatchView& batch, kv::KvStorage&, nn::Team&, std::span<float> logits) override {
    EXPECT_LE(batch.tokens.size(), 4u);
    for (size_t i = 0; i < batch.logit_rows.size(); ++i) {
      const int token = batch.tokens[static_cast<size_t>(batch.logit_rows[i])];
      for (int v = 0; v < kVocab; ++v) logits[i * kVocab + v] = Logit(token, v);
    }
    ++steps;
  }
  static float Logit(int token, int v) { return 5.f + 0.5f * static_cast<float>((token * 3 + v) % 5); }
  static double LogProb(int token, int v) {
    double sum = 0;
    for (int i = 0; i < kVocab; ++i) sum += std::exp(Logit(token, i));
    return Logit(token, v) - std::log(sum);
  }
  int steps = 0;

 private:
  ModelInfo info_;
};

const kernels::KernelTable& Ref() { return *kernels::AllTables().back(); }

// A reference file of one document, with `shift` added to the log-probability of its first candidate.
std::string ReferenceFile(const std::vector<int32_t>& ids, double shift, uint32_t head = 6,
                          uint32_t tail = 0) {
  std::string out = "PLTNKLD1";
  const auto u32 = [&](uint32_t v) { out.append(reinterpret_cast<const char*>(&v), 4); };
  const auto u16 = [&](uint16_t v) { out.append(reinterpret_cast<const char*>(&v), 2); };
  const auto f32 = [&](double d) {
    const auto v = static_cast<float>(d);
    out.append(reinterpret_cast<const char*>(&v), 4);
  };
  for (const uint32_t v : {1u, uint32_t{kVocab}, head, tail, 2048u, 2u}) u32(v);
  u32(static_cast<uint32_t>(ids.size()));
  for (const int32_t id : ids) u32(static_cast<uint32_t>(id));
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    std::vector<int> order = {0, 1, 2, 3, 4, 5};
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return TableModel::LogProb(ids[i], a) > TableModel::LogProb(ids[i], b);
    });
    const double first = TableModel::LogProb(ids[i], order[0]) + shift;
    double outside = 1.0;
    for (uint32_t k = 0; k < head; ++k) outside -= std::exp(TableModel::LogProb(ids[i], order[k]));
    f32(TableModel::LogProb(ids[i], ids[i + 1]));
    f32(first);
    f32(std::max(0.0, outside));
    for (uint32_t k = 0; k < head + tail; ++k) u16(static_cast<uint16_t>(order[k]));
    for (uint32_t k = 0; k < head + tail; ++k) {
      u16(static_cast<uint16_t>(std::lround((first - shift * (k == 0) -
                                             TableModel::LogProb(ids[i], order[k])) * 2048)));
    }
  }
  return out;
}

Result<KlReference> Read(const std::string& bytes) {
  return ReadKlReference(std::as_bytes(std::span(bytes)));
}

const std::vector<int32_t> kIds = {0, 3, 1, 4, 5, 2, 2, 0, 1};

TEST(Evaluate, AModelEqualToItsReferenceHasNoDivergence) {
  nn::Team team({.threads = 1, .pin = false});
  for (const uint32_t head : {6u, 3u}) {
    auto reference = Read(ReferenceFile(kIds, 0.0, head, 6 - head));
    ASSERT_TRUE(reference.ok()) << reference.status().message();
    TableModel model;
    Fidelity got;
    ASSERT_TRUE(Evaluate(model, team, Ref(), kIds, &*reference, &reference->documents[0], 4, got).ok());
    EXPECT_EQ(model.steps, 3);  // nine tokens by four
    EXPECT_EQ(got.positions, 8);
    EXPECT_EQ(got.same_first, 8);
    EXPECT_NEAR(got.mean_kl(), 0.0, 3e-4);  // the rounding of the stored gaps
    EXPECT_NEAR(got.perplexity(), got.reference_perplexity(), 1e-4);
  }
}

TEST(Evaluate, PerplexityIsThatOfTheTokensThatFollow) {
  nn::Team team({.threads = 1, .pin = false});
  TableModel model;
  Fidelity got;
  ASSERT_TRUE(Evaluate(model, team, Ref(), kIds, nullptr, nullptr, 2, got).ok());
  double nll = 0;
  for (size_t i = 0; i + 1 < kIds.size(); ++i) nll -= TableModel::LogProb(kIds[i], kIds[i + 1]);
  EXPECT_NEAR(got.perplexity(), std::exp(nll / 8), 1e-4);
  EXPECT_EQ(got.mean_kl(), 0.0);
}

TEST(Evaluate, ADivergenceIsSeen) {
  nn::Team team({.threads = 1, .pin = false});
  auto reference = Read(ReferenceFile(kIds, 0.2));
  ASSERT_TRUE(reference.ok());
  TableModel model;
  Fidelity got;
  ASSERT_TRUE(Evaluate(model, team, Ref(), kIds, &*reference, &reference->documents[0], 4, got).ok());
  EXPECT_GT(got.mean_kl(), 0.05);
}

TEST(Evaluate, WrongSizesAreErrors) {
  nn::Team team({.threads = 1, .pin = false});
  TableModel model;
  const auto ignore = [](size_t, std::span<const float>) {};
  EXPECT_TRUE(RunSequence(model, team, kIds, 1, ignore).ok());
  EXPECT_TRUE(RunSequence(model, team, kIds, 4, ignore).ok());
  EXPECT_EQ(RunSequence(model, team, kIds, 0, ignore).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(RunSequence(model, team, kIds, 5, ignore).code(), StatusCode::kInvalidArgument);
  const std::array<int32_t, 2> above = {0, kVocab}, below = {-1, 0};
  EXPECT_EQ(RunSequence(model, team, above, 1, ignore).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(RunSequence(model, team, below, 1, ignore).code(), StatusCode::kInvalidArgument);
  KlReference other{.vocab = kVocab + 1, .head = 1, .tail = 0, .documents = {}};
  Fidelity got;
  EXPECT_EQ(Evaluate(model, team, Ref(), kIds, &other, nullptr, 1, got).code(),
            StatusCode::kInvalidArgument);
}

TEST(KlReference, EveryCutOfAFileIsAnError) {
  const std::string whole = ReferenceFile(kIds, 0.0);
  ASSERT_TRUE(Read(whole).ok());
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(Read(whole.substr(0, n)).ok()) << n;
  EXPECT_FALSE(Read(whole + 'x').ok());
}

TEST(KlReference, NumbersOutOfRangeAreErrors) {
  const std::string whole = ReferenceFile(kIds, 0.0);
  const auto with = [&](size_t at, uint32_t value) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + at, &value, 4);
    return Read(bytes).ok();
  };
  EXPECT_FALSE(with(0, 0));                              // magic
  for (const uint32_t v : {0u, 2u, 0xffffffffu}) EXPECT_FALSE(with(8, v)) << v;    // documents
  for (const uint32_t v : {0u, 5u, 0xffffffffu}) EXPECT_FALSE(with(12, v)) << v;   // vocabulary
  for (const uint32_t v : {0u, kReferenceCandidatesMax + 1}) EXPECT_FALSE(with(16, v)) << v;
  for (const uint32_t v : {1u, kReferenceCandidatesMax + 1}) EXPECT_FALSE(with(20, v)) << v;
  EXPECT_FALSE(with(24, 0));                             // steps of a nat
  for (const uint32_t v : {0u, 1u, 4u}) EXPECT_FALSE(with(28, v)) << v;            // bytes of an id
  for (const uint32_t v : {0u, 1u, kReferenceTokensMax + 1, 0xffffffffu}) EXPECT_FALSE(with(32, v));
  EXPECT_FALSE(with(36, kVocab));                        // a token
  const size_t record = 36 + 4 * kIds.size();
  for (const size_t field : {0u, 4u, 8u}) EXPECT_FALSE(with(record + field, 0x7fc00000)) << field;
}

}  // namespace
}  // namespace pelton::models
