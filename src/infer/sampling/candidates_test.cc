#include "sampling/candidates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/random.h"
#include "sampling/testing/plain_table.h"

namespace pelton::sampling {
namespace {

// Values with ties, maximum 0.
std::vector<float> RandomValues(uint64_t seed, int n, float spread) {
  Random random(seed);
  std::vector<float> values;
  for (int i = 0; i < n; ++i) {
    const double u = random.Uniform();
    values.push_back(-std::round(static_cast<float>(u) * spread * 64.f) / 64.f);
  }
  values[random.Below(static_cast<uint64_t>(n))] = 0.f;
  return values;
}

std::vector<Candidate> AllSorted(const std::vector<float>& values) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < values.size(); ++i) {
    all.push_back({values[i], static_cast<int32_t>(i), std::exp(static_cast<double>(values[i]))});
  }
  std::sort(all.begin(), all.end(), Better);
  return all;
}

std::set<int32_t> Ids(std::span<const Candidate> candidates) {
  std::set<int32_t> ids;
  for (const Candidate& c : candidates) ids.insert(c.id);
  return ids;
}

TEST(SelectTop, EqualsAFullSortWithTiesByLowerId) {
  for (const int n : {1, 2, 63, 64, 65, 1000, 9000}) {
    for (const int k : {0, 1, 2, 20, 40, 999, kHeapMax, kHeapMax + 1, 9000}) {
      if (k > n) continue;
      const auto values = RandomValues(static_cast<uint64_t>(n * 31 + k), n, 5.f);
      const auto sorted = AllSorted(values);
      std::vector<Candidate> got{{1.f, 7}};  // left-overs must vanish
      SelectTop(values, k, &got);
      ASSERT_EQ(got.size(), static_cast<size_t>(k));
      for (int i = 0; i < k; ++i) ASSERT_EQ(got[i].id, sorted[i].id) << n << " " << k << " " << i;
    }
  }
}

TEST(SelectTop, HandlesAscendingValues) {
  std::vector<float> values;
  for (int i = 0; i < 5000; ++i) values.push_back(static_cast<float>(i));
  std::vector<Candidate> got;
  SelectTop(values, 3, &got);
  EXPECT_EQ(got[0].id, 4999);
  EXPECT_EQ(got[2].id, 4997);
}

TEST(KeepTopP, IsTheShortestPrefixThatReachesTheMass) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const auto values = RandomValues(seed, 1 + static_cast<int>(Mix64(seed) % 700), 12.f);
    const auto sorted = AllSorted(values);
    const double total = TotalWeight(sorted);
    const double top_p = 0.02 + 0.96 * UniformAt(seed, 1);
    double mass = 0.;
    size_t want = 0;
    while (mass < top_p * total) mass += sorted[want++].weight;
    auto kept = sorted;
    std::reverse(kept.begin(), kept.end());
    KeepTopP(total, top_p, &kept);
    // The two ways add in different orders; a tie at the border may move it by one.
    if (std::abs(mass - sorted[want - 1].weight - top_p * total) < 1e-12 * total) continue;
    ASSERT_EQ(Ids(kept), Ids({sorted.data(), want})) << seed;
  }
}

TEST(KeepTopP, KeepsTheCrossingTokenAndAtLeastOne) {
  // 0.5, 0.3, 0.2
  std::vector<Candidate> c = {{std::log(.5f), 0, .5}, {std::log(.3f), 1, .3}, {std::log(.2f), 2, .2}};
  auto kept = c;
  KeepTopP(1., 0.51, &kept);
  EXPECT_EQ(Ids(kept), (std::set<int32_t>{0, 1}));
  kept = c;
  KeepTopP(1., 1e-9, &kept);
  EXPECT_EQ(Ids(kept), (std::set<int32_t>{0}));
  kept = c;
  KeepTopP(1., 0.81, &kept);
  EXPECT_EQ(kept.size(), 3u);
}

TEST(KeepTypical, KeepsTheTokensNearestTheEntropy) {
  // One token of 0.9 carries 0.105 nat, the entropy is 0.500 nat, ten of 0.01 carry 4.6.
  std::vector<Candidate> peaked = {{0.f, 0, .9}};
  for (int i = 1; i <= 10; ++i) peaked.push_back({std::log(.01f / .9f), i, .01});
  peaked[0].value = 0.f;
  // Values are relative to the best, weights to match.
  for (Candidate& c : peaked) c.weight = std::exp(static_cast<double>(c.value));
  auto kept = peaked;
  KeepTypical(0.5, &kept);
  EXPECT_EQ(Ids(kept), (std::set<int32_t>{0}));
  // A flat part next to one frequent token: the frequent one is the less typical.
  std::vector<Candidate> flat = {{0.f, 0, 1.}};
  for (int i = 1; i <= 400; ++i) flat.push_back({std::log(.02f), i, .02});
  kept = flat;
  KeepTypical(0.5, &kept);
  EXPECT_FALSE(Ids(kept).contains(0));
}

TEST(KeepTypical, EqualsAFullSortByDistanceFromTheEntropy) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const auto values = RandomValues(seed, 1 + static_cast<int>(Mix64(seed) % 700), 9.f);
    auto sorted = AllSorted(values);
    const double total = TotalWeight(sorted);
    double entropy = 0.;
    for (const Candidate& c : sorted) entropy -= c.weight / total * std::log(c.weight / total);
    const auto distance = [&](const Candidate& c) {
      return std::abs(-std::log(c.weight / total) - entropy);
    };
    std::sort(sorted.begin(), sorted.end(), [&](const Candidate& a, const Candidate& b) {
      return distance(a) < distance(b) - 1e-9 ||
             (std::abs(distance(a) - distance(b)) <= 1e-9 && a.id < b.id);
    });
    const double typical_p = 0.02 + 0.96 * UniformAt(seed, 2);
    double mass = 0.;
    size_t want = 0;
    while (mass < typical_p * total) mass += sorted[want++].weight;
    if (std::abs(mass - sorted[want - 1].weight - typical_p * total) < 1e-12 * total) continue;
    auto kept = AllSorted(values);
    KeepTypical(typical_p, &kept);
    ASSERT_EQ(Ids(kept), Ids({sorted.data(), want})) << seed;
  }
}

TEST(KeepMinP, CutsRelativeToTheBest) {
  std::vector<Candidate> c = {{0.f, 4, 1.}, {0, 2, .5}, {0, 3, .1}, {0, 1, .099}};
  KeepMinP(0.1, &c);
  EXPECT_EQ(Ids(c), (std::set<int32_t>{2, 3, 4}));
}

TEST(CollectAbove, FindsAllAtOrAboveTheFloor) {
  const auto values = RandomValues(3, 5000, 30.f);
  RunSums runs;
  SumRuns(values, testing::PlainTable(), &runs);
  EXPECT_EQ(runs.max.size(), 10u);
  std::vector<Candidate> got;
  CollectAbove(values, runs, -3.f, &got);
  std::set<int32_t> want;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] >= -3.f) want.insert(static_cast<int32_t>(i));
  }
  EXPECT_EQ(Ids(got), want);
  EXPECT_NEAR(runs.total, TotalWeight(AllSorted(values)), 1e-3);
}

TEST(DrawFromAll, FollowsTheCumulatedWeightsInOrderOfIds) {
  const auto values = RandomValues(9, 3000, 8.f);
  RunSums runs;
  SumRuns(values, testing::PlainTable(), &runs);
  double total = 0.;
  for (const float v : values) total += std::exp(static_cast<double>(v));
  double before = 0.;
  for (size_t i = 0; i < values.size(); ++i) {
    const double weight = std::exp(static_cast<double>(values[i]));
    ASSERT_EQ(DrawFromAll(values, runs, (before + weight / 2) / total), static_cast<int32_t>(i));
    before += weight;
  }
}

TEST(DrawFromAll, NeverGivesATokenWithoutWeight) {
  std::vector<float> values(1200, -1e30f);
  values[700] = 0.f;
  RunSums runs;
  SumRuns(values, testing::PlainTable(), &runs);
  for (const double point : {0., 0.5, 0.999999999999, 1. - 0x1p-53}) {
    EXPECT_EQ(DrawFromAll(values, runs, point), 700);
  }
}

TEST(DrawFrom, TakesTheLastWithWeightAtTheVeryEnd) {
  const std::vector<Candidate> c = {{0.f, 5, 1.}, {0.f, 6, 1.}, {-1e30f, 7, 0.}};
  EXPECT_EQ(DrawFrom(c, 0.), 5);
  EXPECT_EQ(DrawFrom(c, 0.5), 6);
  EXPECT_EQ(DrawFrom(c, 1. - 0x1p-53), 6);
}

}  // namespace
}  // namespace pelton::sampling
