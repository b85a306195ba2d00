#include "sampling/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "base/cpu.h"
#include "base/random.h"
#include "sampling/testing/plain_table.h"

namespace pelton::sampling {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

Sampler Make(SamplingParams params, int vocab, std::vector<int32_t> prompt = {}) {
  return Sampler(std::move(params), prompt, vocab, testing::PlainTable());
}

Sample DrawOnce(Sampler& sampler, std::vector<float> logits, std::vector<int32_t> banned = {}) {
  return sampler.Draw(logits, banned);
}

// How often each token comes in `n` draws from the same logits.
std::map<int32_t, int> Count(SamplingParams params, const std::vector<float>& logits, int n,
                             std::vector<int32_t> banned = {}) {
  Sampler sampler = Make(std::move(params), static_cast<int>(logits.size()));
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[DrawOnce(sampler, logits, banned).token];
  return counts;
}

std::set<int32_t> Support(SamplingParams params, const std::vector<float>& logits) {
  std::set<int32_t> ids;
  for (const auto& [id, n] : Count(std::move(params), logits, 3000)) ids.insert(id);
  return ids;
}

std::vector<float> Logs(std::vector<double> probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)) + 3.f);
  return logits;
}

TEST(Sampler, GreedyTakesTheFirstMaximum) {
  Sampler sampler = Make({.temperature = 0.f}, 5);
  EXPECT_EQ(DrawOnce(sampler, {1.f, 3.f, 2.f, 3.f, 0.f}).token, 1);
  EXPECT_EQ(sampler.draws(), 1u);
  Sampler nearly = Make({.temperature = 1e-6f}, 3);
  EXPECT_EQ(DrawOnce(nearly, {-1.f, -2.f, -1.f}).token, 0);
  Sampler one = Make({.temperature = 2.f, .top_k = 1}, 3);
  EXPECT_EQ(DrawOnce(one, {-1.f, -2.f, -1.f}).token, 0);
}

TEST(Sampler, SameSeedSameTokensWhateverElseRuns) {
  const auto logits = Logs({.1, .2, .3, .25, .15});
  Sampler a = Make({.seed = 42}, 5);
  Sampler b = Make({.seed = 42}, 5);
  Sampler other = Make({.seed = 43}, 5);
  std::vector<int32_t> first, second, third;
  for (int i = 0; i < 200; ++i) first.push_back(DrawOnce(a, logits).token);
  for (int i = 0; i < 200; ++i) {
    third.push_back(DrawOnce(other, logits).token);
    second.push_back(DrawOnce(b, logits).token);
  }
  EXPECT_EQ(first, second);
  EXPECT_NE(first, third);
}

// Chi-squared of counts against probabilities; 99.9 % of the statistic lie below the bound for
// these degrees of freedom. The seed is fixed, so the test is not a matter of luck.
double ChiSquared(const std::map<int32_t, int>& counts, const std::vector<double>& p, int n) {
  double sum = 0.;
  for (size_t i = 0; i < p.size(); ++i) {
    const auto at = counts.find(static_cast<int32_t>(i));
    const double got = at == counts.end() ? 0. : at->second;
    if (p[i] == 0.) {
      EXPECT_EQ(got, 0.) << i;
      continue;
    }
    sum += (got - n * p[i]) * (got - n * p[i]) / (n * p[i]);
  }
  return sum;
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<double> p = {.05, .2, .4, .25, .1};
  constexpr int kDraws = 20000;
  EXPECT_LT(ChiSquared(Count({.seed = 1}, Logs(p), kDraws), p, kDraws), 18.5);
  // The same through the candidate path: top_p just under 1 keeps all five.
  EXPECT_LT(ChiSquared(Count({.top_p = 0.9999f, .seed = 2}, Logs(p), kDraws), p, kDraws), 18.5);
  EXPECT_LT(ChiSquared(Count({.top_k = 4, .seed = 3}, Logs(p), kDraws),
                       {0., .2 / .95, .4 / .95, .25 / .95, .1 / .95}, kDraws), 16.3);
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  const std::vector<double> p = {.2, .8};
  constexpr int kDraws = 20000;
  // p^(1/T) renormalised.
  EXPECT_LT(ChiSquared(Count({.temperature = .5f, .seed = 4}, Logs(p), kDraws),
                       {.04 / .68, .64 / .68}, kDraws), 10.8);
  const double a = std::sqrt(.2), b = std::sqrt(.8);
  EXPECT_LT(ChiSquared(Count({.temperature = 2.f, .seed = 5}, Logs(p), kDraws),
                       {a / (a + b), b / (a + b)}, kDraws), 10.8);
}

TEST(Sampler, CutsKeepExactlyTheirTokens) {
  const auto logits = Logs({.1, .4, .3, .05, .15});
  using Ids = std::set<int32_t>;
  EXPECT_EQ(Support({.top_k = 2, .seed = 1}, logits), (Ids{1, 2}));
  EXPECT_EQ(Support({.top_p = .69f, .seed = 1}, logits), (Ids{1, 2}));
  EXPECT_EQ(Support({.top_p = .71f, .seed = 1}, logits), (Ids{1, 2, 4}));
  EXPECT_EQ(Support({.min_p = .3f, .seed = 1}, logits), (Ids{1, 2, 4}));
  EXPECT_EQ(Support({.min_p = .9f, .seed = 1}, logits), (Ids{1}));
  // top_p is relative to what top_k left: .4/.7 = .57 alone reaches .55, of the whole it would not.
  EXPECT_EQ(Support({.top_k = 2, .top_p = .55f, .seed = 1}, logits), (Ids{1}));
  // Entropy 1.39 nat: distances .06 (4: .51) … nearest are 2 (1.20), 1 (.92), 4 (1.90).
  EXPECT_EQ(Support({.typical_p = .25f, .seed = 1}, logits), (Ids{2}));
  EXPECT_EQ(Support({.typical_p = .65f, .seed = 1}, logits), (Ids{1, 2}));
}

TEST(Sampler, TopPAloneAgreesWithAFullSortOnLargeVocabularies) {
  for (const float spread : {3.f, 20.f, 120.f}) {
    Random random(5);
    std::vector<float> logits(20000);
    for (float& v : logits) v = static_cast<float>(random.Uniform()) * spread;
    std::vector<std::pair<float, int32_t>> sorted;
    double total = 0.;
    for (size_t i = 0; i < logits.size(); ++i) {
      sorted.emplace_back(-logits[i], static_cast<int32_t>(i));
      total += std::exp(static_cast<double>(logits[i]) - spread);
    }
    std::sort(sorted.begin(), sorted.end());
    std::set<int32_t> want;
    double mass = 0.;
    for (const auto& [negative, id] : sorted) {
      if (mass >= .9 * total) break;
      want.insert(id);
      mass += std::exp(-static_cast<double>(negative) - spread);
    }
    for (const auto& [id, n] : Count({.top_p = .9f, .seed = 8}, logits, 300)) {
      ASSERT_TRUE(want.contains(id)) << spread;
    }
  }
}

TEST(Sampler, LogitBiasForcesAndForbids) {
  const std::vector<float> logits = {2.f, 1.f, 0.f};
  Sampler sampler = Make({.temperature = 0.f, .logit_bias = {{2, 100.f}}}, 3);
  EXPECT_EQ(DrawOnce(sampler, logits).token, 2);
  Sampler without = Make({.temperature = 0.f, .logit_bias = {{0, -50.f}, {0, -50.f}}}, 3);
  EXPECT_EQ(DrawOnce(without, logits).token, 1);
  EXPECT_FALSE(Count({.logit_bias = {{0, -100.f}}, .seed = 1}, logits, 2000).contains(0));
}

TEST(Sampler, RepetitionPenaltyCoversPromptAndOutput) {
  Sampler sampler = Make({.temperature = 0.f, .repetition_penalty = 2.f}, 4, {0, 3});
  // 0 halves to 2, 3 doubles to -2.
  EXPECT_EQ(DrawOnce(sampler, {4.f, 3.f, 1.f, -1.f}).token, 1);
  // Now 1 is in the output too: 1.5 < 2.
  EXPECT_EQ(DrawOnce(sampler, {4.f, 3.f, 1.f, -1.f}).token, 0);
  Sampler negative = Make({.temperature = 0.f, .repetition_penalty = 2.f}, 2, {0});
  EXPECT_EQ(DrawOnce(negative, {-1.f, -1.5f}).token, 1);
}

TEST(Sampler, FrequencyAndPresenceCountTheOutputOnly) {
  Sampler frequency = Make({.temperature = 0.f, .frequency_penalty = 1.f}, 2, {0, 0, 0});
  std::vector<int32_t> got;
  for (int i = 0; i < 5; ++i) got.push_back(DrawOnce(frequency, {2.5f, 1.f}).token);
  // 2.5, 1.5, .5 < 1, then 1 costs one too: 0 < .5.
  EXPECT_EQ(got, (std::vector<int32_t>{0, 0, 1, 0, 1}));
  Sampler presence = Make({.temperature = 0.f, .presence_penalty = 2.f}, 2, {0});
  got.clear();
  for (int i = 0; i < 4; ++i) got.push_back(DrawOnce(presence, {2.5f, 1.f}).token);
  EXPECT_EQ(got, (std::vector<int32_t>{0, 1, 0, 0}));
}

TEST(Sampler, BannedIdsAreNeverDrawn) {
  const std::vector<float> logits = {5.f, 1.f, 0.f};
  Sampler greedy = Make({.temperature = 0.f, .logit_bias = {{0, 100.f}}}, 3);
  EXPECT_EQ(DrawOnce(greedy, logits, {0}).token, 1);
  for (const SamplingParams& p :
       {SamplingParams{.temperature = 100.f, .seed = 1}, SamplingParams{.top_k = 2, .seed = 1},
        SamplingParams{.top_p = .999f, .seed = 1}, SamplingParams{.typical_p = .99f, .seed = 1}}) {
    EXPECT_FALSE(Count(p, logits, 2000, {0, 77, -3}).contains(0));
  }
  Sampler none = Make({.seed = 1}, 3);
  EXPECT_EQ(DrawOnce(none, logits, {0, 1, 2}).token, -1);
  EXPECT_EQ(none.draws(), 0u);
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    for (const size_t at : {0u, 2u, 999u}) {
      std::vector<float> logits(1000, 1.f);
      logits[at] = bad;
      Sampler sampler = Make({.top_k = 5, .top_logprobs = 3}, 1000);
      const Sample sample = DrawOnce(sampler, logits);
      EXPECT_EQ(sample.token, -1);
      EXPECT_TRUE(sample.top.empty());
      EXPECT_EQ(sampler.draws(), 0u);
    }
  }
}

TEST(Sampler, LogprobsAreTheModelsOwn) {
  const std::vector<double> p = {.1, .4, .3, .05, .15};
  // Everything that could distort them is on.
  SamplingParams params{.temperature = .3f, .top_k = 1, .repetition_penalty = 1.5f,
                        .logit_bias = {{3, 100.f}}, .top_logprobs = 3};
  Sampler sampler = Make(params, 5, {1});
  const Sample sample = DrawOnce(sampler, Logs(p));
  EXPECT_EQ(sample.token, 3);
  EXPECT_NEAR(sample.logprob, std::log(.05), 1e-6);
  ASSERT_EQ(sample.top.size(), 3u);
  EXPECT_EQ(sample.top[0].token, 1);
  EXPECT_NEAR(sample.top[0].logprob, std::log(.4), 1e-6);
  EXPECT_EQ(sample.top[1].token, 2);
  EXPECT_EQ(sample.top[2].token, 4);
}

TEST(Sampler, TopLogprobsBounds) {
  Sampler own_only = Make({.top_logprobs = 0}, 2);
  const Sample sample = DrawOnce(own_only, {0.f, 0.f});
  EXPECT_TRUE(sample.top.empty());
  EXPECT_NEAR(sample.logprob, std::log(.5), 1e-6);
  Sampler small = Make({.top_logprobs = 20}, 2);
  const Sample all = DrawOnce(small, {1.f, 1.f});
  ASSERT_EQ(all.top.size(), 2u);
  EXPECT_EQ(all.top[0].token, 0);  // a tie goes to the lower id
}

TEST(Sampler, SurvivesExtremeLogitsAndParameters) {
  std::vector<float> logits = {3e38f, -3e38f, 1e-40f, 0.f, 7.f};
  for (const float temperature : {2e-5f, 1.f, 100.f}) {
    for (const float repetition : {1e-38f, 1.f, 3e38f}) {
      for (const int top_k : {0, 3}) {
        SamplingParams params{.temperature = temperature, .top_k = top_k, .top_p = .9f,
                              .min_p = 1e-40f, .typical_p = .9f,
                              .repetition_penalty = repetition, .frequency_penalty = -2.f,
                              .logit_bias = {{0, 100.f}}, .seed = 3, .top_logprobs = 5};
        Sampler sampler = Make(params, 5, {0, 1, 2});
        for (int i = 0; i < 10; ++i) {
          const Sample sample = DrawOnce(sampler, logits, {4});
          ASSERT_GE(sample.token, 0);
          ASSERT_NE(sample.token, 4);
        }
      }
    }
  }
}

// A table's exp may differ from std::exp in the last bits, never in which tokens can come.
TEST(Sampler, EveryTableOfThisMachineDrawsTheSame) {
  Random random(17);
  std::vector<float> logits(5000);
  for (float& v : logits) v = static_cast<float>(random.Uniform()) * 12.f;
  for (const SamplingParams& params :
       {SamplingParams{.seed = 5}, SamplingParams{.temperature = .7f, .top_p = .9f, .seed = 5},
        SamplingParams{.min_p = .02f, .seed = 5}, SamplingParams{.temperature = 0.f}}) {
    std::vector<int32_t> want;
    Sampler plain = Make(params, 5000);
    for (int i = 0; i < 200; ++i) want.push_back(DrawOnce(plain, logits, {7}).token);
    for (const kernels::KernelTable* table : kernels::AllTables()) {
      if (!table->usable(UsableCpuFeatures())) continue;
      Sampler sampler(params, {}, 5000, *table);
      std::vector<int32_t> got;
      for (int i = 0; i < 200; ++i) got.push_back(DrawOnce(sampler, logits, {7}).token);
      EXPECT_EQ(got, want) << table->name;
    }
  }
}

TEST(CheckParams, AcceptsTheLimitsAndRefusesBeyondThem) {
  EXPECT_TRUE(CheckParams({}, 10).ok());
  struct Case {
    const char* field;
    std::function<void(SamplingParams&)> set;
  };
  const std::vector<Case> bad = {
      {"temperature", [](auto& p) { p.temperature = -.01f; }},
      {"temperature", [](auto& p) { p.temperature = 100.1f; }},
      {"temperature", [](auto& p) { p.temperature = kNan; }},
      {"top_p", [](auto& p) { p.top_p = 0.f; }},
      {"top_p", [](auto& p) { p.top_p = 1.001f; }},
      {"top_p", [](auto& p) { p.top_p = kNan; }},
      {"min_p", [](auto& p) { p.min_p = 1.f; }},
      {"min_p", [](auto& p) { p.min_p = -.1f; }},
      {"min_p", [](auto& p) { p.min_p = kNan; }},
      {"typical_p", [](auto& p) { p.typical_p = 0.f; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 0.f; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = kInfinity; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = 2.01f; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = -2.01f; }},
      {"top_k", [](auto& p) { p.top_k = -1; }},
      {"top_logprobs", [](auto& p) { p.top_logprobs = 21; }},
      {"top_logprobs", [](auto& p) { p.top_logprobs = -2; }},
      {"logit_bias", [](auto& p) { p.logit_bias = {{10, 0.f}}; }},
      {"logit_bias", [](auto& p) { p.logit_bias = {{-1, 0.f}}; }},
      {"logit_bias", [](auto& p) { p.logit_bias = {{0, 100.5f}}; }},
      {"logit_bias", [](auto& p) { p.logit_bias.assign(kLogitBiasMax + 1, {0, 0.f}); }},
  };
  for (const Case& c : bad) {
    SamplingParams params;
    c.set(params);
    const Status status = CheckParams(params, 10);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.field;
    EXPECT_EQ(status.param(), c.field);
  }
  SamplingParams limits{.temperature = 100.f, .top_k = 1 << 30, .top_p = 1e-6f, .min_p = .999f,
                        .typical_p = 1e-6f, .repetition_penalty = 1e-6f, .frequency_penalty = -2.f,
                        .presence_penalty = 2.f, .top_logprobs = 20};
  limits.logit_bias.assign(kLogitBiasMax, {9, -100.f});
  EXPECT_TRUE(CheckParams(limits, 10).ok());
}

TEST(Sampler, PrintsItsCostAtAVocabularyOf262144) {
  constexpr int kVocab = 262144;
  Random random(1);
  std::vector<float> logits(kVocab);
  for (float& v : logits) {
    v = static_cast<float>(std::log(random.Uniform() + 1e-9)) * -1.5f;  // a long tail upwards
  }
  const std::vector<std::pair<const char*, SamplingParams>> cases = {
      {"greedy", {.temperature = 0.f}},
      {"plain", {.seed = 1}},
      {"top_k 40", {.top_k = 40, .seed = 1}},
      {"top_p 0.95", {.top_p = .95f, .seed = 1}},
      {"min_p 0.05", {.min_p = .05f, .seed = 1}},
      {"typical 0.9", {.typical_p = .9f, .seed = 1}},
      {"logprobs 20", {.temperature = 0.f, .top_logprobs = 20}},
  };
  const kernels::KernelTable& table = *kernels::ChooseTable(UsableCpuFeatures(), "");
  for (const auto& [name, params] : cases) {
    Sampler sampler(params, {}, kVocab, table);
    double best_us = 1e9;
    for (int i = 0; i < 5; ++i) {
      auto copy = logits;
      const auto begin = std::chrono::steady_clock::now();
      ASSERT_GE(sampler.Draw(copy, {}).token, 0);
      const std::chrono::duration<double, std::micro> us = std::chrono::steady_clock::now() - begin;
      best_us = std::min(best_us, us.count());
    }
    RecordProperty(name, std::to_string(best_us));
    std::printf("  %-12s %8.1f us (%s)\n", name, best_us, std::string(table.name).c_str());
  }
}

}  // namespace
}  // namespace pelton::sampling
