#include "engine/drafter.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "engine/ngram_index.h"

namespace pelton::engine {
namespace {

using text::TokenId;
using Tokens = std::vector<TokenId>;

NgramIndex::Match FindIn(const Tokens& tokens) {
  NgramIndex index(static_cast<int>(tokens.size()));
  for (size_t n = 0; n < tokens.size(); n += NgramIndex::kCatchUpMax) index.CatchUp(tokens);
  return index.Find(tokens);
}

Tokens DraftOf(const Tokens& tokens, int most, Tokens ends = {}) {
  Drafter drafter(1000);
  drafter.Propose(tokens, most, ends);
  return {drafter.draft().begin(), drafter.draft().end()};
}

TEST(NgramIndex, FindsTheLongestMatchAndOfEquallyLongOnesTheLatest) {
  //                 0  1  2  3  4  5  6  7  8  9 10
  const auto match = FindIn({1, 2, 3, 9, 7, 2, 3, 8, 1, 2, 3});
  EXPECT_EQ(match.length, 3);
  EXPECT_EQ(match.next, 3u);
  EXPECT_EQ(FindIn({5, 2, 3, 9, 7, 2, 3, 8, 1, 2, 3}).next, 7u);
}

TEST(NgramIndex, OneAgreeingTokenIsNoMatch) {
  EXPECT_EQ(FindIn({4, 3, 9, 1, 3}).length, 0);
  EXPECT_EQ(FindIn({3, 3}).length, 0);
  EXPECT_EQ(FindIn({3}).length, 0);
  EXPECT_EQ(FindIn({}).length, 0);
  EXPECT_EQ(FindIn({3, 3, 3}).length, 2);
}

// A plain search over all positions.
int LongestMatch(const Tokens& tokens) {
  int best = 0;
  for (size_t end = 1; end + 1 < tokens.size(); ++end) {
    int length = 0;
    while (length < NgramIndex::kMatchMax && static_cast<size_t>(length) <= end &&
           tokens[end - length] == tokens[tokens.size() - 1 - length]) {
      ++length;
    }
    best = std::max(best, length);
  }
  return best < NgramIndex::kMatchMin ? 0 : best;
}

TEST(NgramIndex, AgreesWithAPlainSearchWhileATextGrows) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed);
    const uint64_t words = 8 + random.Below(40);
    NgramIndex index(300);
    Tokens tokens;
    for (int i = 0; i < 300; ++i) {
      const bool again = tokens.size() > 20 && random.Below(3) != 0;
      tokens.push_back(again ? tokens[tokens.size() - 13]
                             : static_cast<TokenId>(random.Below(words)));
      if (random.Below(4) == 0) continue;  // some are added together
      index.CatchUp(tokens);
      const auto match = index.Find(tokens);
      const int want = LongestMatch(tokens);
      if (words >= 16) {  // chains shorter than kWalkMax
        ASSERT_EQ(match.length, want) << "seed " << seed << " at " << i;
      }
      ASSERT_LE(match.length, want);
      if (match.length == 0) continue;
      ASSERT_LT(match.next, tokens.size());
      for (int k = 1; k <= match.length; ++k) {
        ASSERT_EQ(tokens[match.next - k], tokens[tokens.size() - k]);
      }
    }
  }
}

TEST(NgramIndex, ACallAddsABoundedNumberOfTokensAndFourBytesForEach) {
  const size_t n = 3 * NgramIndex::kCatchUpMax;
  Tokens tokens;
  for (size_t i = 0; i < n; ++i) tokens.push_back(static_cast<TokenId>(i));
  tokens.push_back(static_cast<TokenId>(n - 10));  // said before, near the end
  tokens.push_back(static_cast<TokenId>(n - 9));
  NgramIndex index(static_cast<int>(n));
  EXPECT_EQ(index.bytes(), 0u);
  for (int call = 0; call < 2; ++call) {
    index.CatchUp(tokens);
    EXPECT_EQ(index.Find(tokens).length, 0);
  }
  index.CatchUp(tokens);
  EXPECT_EQ(index.Find(tokens).next, n - 8);
  index.CatchUp(tokens);
  EXPECT_LE(index.bytes(), 4 * (2 * n + tokens.size()));  // the table has at most 2 n slots
}

TEST(NgramIndex, TheTableIsBoundedWhateverTheContext) {
  NgramIndex index(1 << 24);
  index.CatchUp(Tokens{1, 2, 3});
  EXPECT_LE(index.bytes(), size_t{4} * 65536 + 64);
}

TEST(Drafter, GoesOnAsTheTextDidBefore) {
  EXPECT_EQ(DraftOf({1, 2, 3, 4, 5, 6, 1, 2}, 3), (Tokens{3, 4, 5}));
  EXPECT_EQ(DraftOf({1, 2, 3, 4, 5, 6, 1, 2}, 0), Tokens{});
  EXPECT_EQ(DraftOf({1, 2, 3, 4}, 3), Tokens{});
}

TEST(Drafter, APeriodGoesOnBeyondTheEndOfTheText) {
  EXPECT_EQ(DraftOf({7, 7, 7}, 5), (Tokens{7, 7, 7, 7, 7}));
  EXPECT_EQ(DraftOf({1, 2, 3, 1, 2, 3}, 8), (Tokens{1, 2, 3, 1, 2, 3, 1, 2}));
}

TEST(Drafter, ADraftIsAtMostKDraftMaxLong) {
  EXPECT_EQ(DraftOf({7, 7, 7}, 100).size(), static_cast<size_t>(kDraftMax));
  EXPECT_EQ(DraftOf({7, 7, 7}, kDraftMax).size(), static_cast<size_t>(kDraftMax));
}

TEST(Drafter, ADraftEndsWithAnEnd) {
  EXPECT_EQ(DraftOf({1, 2, 3, 9, 4, 5, 1, 2}, 6, {8, 9}), (Tokens{3, 9}));
}

// Refuses all.
TEST(Drafter, RefusedTokensAreBoundedWhateverTheText) {
  Drafter drafter(100000);
  const Tokens tokens(40, 7);  // as promising as can be
  double refused = 0;
  for (int step = 1; step <= 5000; ++step) {
    drafter.Propose(tokens, kDraftMax, {});
    const int tried = static_cast<int>(drafter.draft().size());
    drafter.Settle(tried, 0);
    refused += tried;
    ASSERT_LE(refused, Drafter::kCreditFirst + step / Drafter::kStepsACredit);
  }
  EXPECT_GE(refused, 5000 / Drafter::kStepsACredit) << "it must go on trying";
}

TEST(Drafter, RefusedTokensAreBoundedByThoseAccepted) {
  Random random(3);
  Drafter drafter(100000);
  const Tokens tokens(40, 7);
  double refused = 0, accepted = 0;
  for (int step = 1; step <= 5000; ++step) {
    drafter.Propose(tokens, kDraftMax, {});
    const int tried = static_cast<int>(drafter.draft().size());
    const int right = random.Below(2) == 0 ? static_cast<int>(random.Below(tried + 1)) : 0;
    drafter.Settle(tried, right);
    refused += tried - right;
    accepted += right;
    ASSERT_LE(refused, Drafter::kCreditFirst + step / Drafter::kStepsACredit +
                           Drafter::kCreditOfHit * accepted);
  }
  EXPECT_GT(accepted, 100);
}

TEST(Drafter, ChancesFollowWhatHappened) {
  const Tokens tokens(40, 7);
  Drafter lucky(100), unlucky(100);
  lucky.Propose(tokens, 4, {});
  const double before = lucky.Chance(0);
  for (int i = 0; i < 20; ++i) {
    lucky.Propose(tokens, 4, {});
    lucky.Settle(4, 4);
    unlucky.Propose(tokens, 1, {});
    unlucky.Settle(1, 0);
  }
  EXPECT_GT(lucky.Chance(0), before);
  EXPECT_LT(unlucky.Chance(0), 0.3);
  // A record fades: the text may have changed.
  for (int i = 0; i < 2000; ++i) unlucky.Settle(0, 0);
  EXPECT_NEAR(unlucky.Chance(0), before, 0.01);
}

TEST(Drafter, MoreAgreeingTokensPromiseMore) {
  Drafter a(100), b(100);
  a.Propose(Tokens{1, 2, 3, 8, 1, 2}, 4, {});
  b.Propose(Tokens{1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7}, 4, {});
  EXPECT_LT(a.Chance(0), b.Chance(0));
  EXPECT_LT(a.Chance(0), a.Chance(3));  // when three more have been right
}

}  // namespace
}  // namespace pelton::engine
