#include "engine/output_text.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/random.h"
#include "engine/testing/fake_tokenizer.h"

namespace pelton::engine {
namespace {

using testing::FakeTokenizer;

struct Heard {
  std::string text;
  std::vector<int32_t> tokens;
  std::string stop;
  bool stopped = false;
  std::vector<std::string> pieces;  // text after each push
};

struct Options {
  std::vector<std::string> stop{};
  bool include_stop_in_text = false;
  bool tokens_wait_for_text = false;
};

OutputText Make(const FakeTokenizer& tokenizer, Options options) {
  return OutputText(tokenizer, std::move(options.stop),
                    {.include_stop_in_text = options.include_stop_in_text,
                     .special_tokens_in_text = false,
                     .tokens_wait_for_text = options.tokens_wait_for_text});
}

Heard Hear(const FakeTokenizer& tokenizer, Options options, const std::vector<int32_t>& ids) {
  OutputText output = Make(tokenizer, std::move(options));
  Heard heard;
  const auto hear = [&](const Delta& delta) {
    heard.text += delta.text;
    heard.pieces.push_back(heard.text);
    for (const TokenOut& token : delta.tokens) heard.tokens.push_back(token.id);
    heard.stop = delta.stop_match;
  };
  for (const int32_t id : ids) {
    Delta delta;
    heard.stopped = output.Push({.id = id, .top = {}}, &delta);
    hear(delta);
    if (heard.stopped) return heard;
  }
  Delta delta;
  heard.stopped = output.Finish(&delta);
  hear(delta);
  return heard;
}

std::vector<int32_t> Bytes(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

TEST(OutputText, HoldsBackWhatMayBeginAStopString) {
  const FakeTokenizer tokenizer;
  const Heard heard = Hear(tokenizer, {.stop = {"END"}}, Bytes("xEyENz"));
  EXPECT_EQ(heard.pieces, (std::vector<std::string>{"x", "x", "xEy", "xEy", "xEy", "xEyENz",
                                                    "xEyENz"}));
  EXPECT_FALSE(heard.stopped);
}

TEST(OutputText, LetsHeldTextOutAtTheEnd) {
  const FakeTokenizer tokenizer;
  const Heard heard = Hear(tokenizer, {.stop = {"END"}, .tokens_wait_for_text = true}, Bytes("aEN"));
  EXPECT_EQ(heard.text, "aEN");
  EXPECT_EQ(heard.tokens, Bytes("aEN"));
}

TEST(OutputText, FindsAStopInsideAndAcrossTokens) {
  const FakeTokenizer tokenizer({"a STOP b", "x ST", "OP", "P y"});
  const int32_t whole = FakeTokenizer::kFirstPiece, left = whole + 1, right = whole + 2;
  Heard heard = Hear(tokenizer, {.stop = {"STOP"}}, {whole});
  EXPECT_EQ(heard.text, "a ");
  EXPECT_TRUE(heard.stopped);
  heard = Hear(tokenizer, {.stop = {"STOP"}}, {left, right});
  EXPECT_EQ(heard.text, "x ");
  EXPECT_EQ(heard.tokens, (std::vector<int32_t>{left, right}));
  heard = Hear(tokenizer, {.stop = {"STOP"}, .include_stop_in_text = true}, {left, 'O', whole + 3});
  EXPECT_EQ(heard.text, "x STOP");
}

TEST(OutputText, TheStopThatIsCompleteFirstCounts) {
  const FakeTokenizer tokenizer({"abcdef"});
  const int32_t piece = FakeTokenizer::kFirstPiece;
  // "cd" ends at 4, "bcde" begins earlier but ends at 5; "abcd" also ends at 4 and is longer.
  EXPECT_EQ(Hear(tokenizer, {.stop = {"bcde", "cd"}}, {piece}).stop, "cd");
  EXPECT_EQ(Hear(tokenizer, {.stop = {"bcde", "cd"}}, Bytes("abcdef")).stop, "cd");
  EXPECT_EQ(Hear(tokenizer, {.stop = {"cd", "abcd"}}, {piece}).text, "");
  EXPECT_EQ(Hear(tokenizer, {.stop = {"cd", "abcd"}}, Bytes("abcdef")).text, "");
}

TEST(OutputText, OverlappingBeginningsAreNotLost) {
  const FakeTokenizer tokenizer;
  EXPECT_EQ(Hear(tokenizer, {.stop = {"aab"}}, Bytes("aaaab!")).text, "aa");
  EXPECT_EQ(Hear(tokenizer, {.stop = {"abac"}}, Bytes("ababac")).text, "ab");
}

TEST(OutputText, GivesOnlyValidUtf8) {
  const FakeTokenizer tokenizer;
  const Heard heard = Hear(tokenizer, {}, Bytes("a\xE2\x82\xAC!\xC3"));
  EXPECT_EQ(heard.pieces, (std::vector<std::string>{"a", "a", "a", "a\xE2\x82\xAC",
                                                    "a\xE2\x82\xAC!", "a\xE2\x82\xAC!",
                                                    "a\xE2\x82\xAC!\xEF\xBF\xBD"}));
}

TEST(OutputText, TokensWaitForTheirTextWithLogprobs) {
  const FakeTokenizer tokenizer;
  OutputText output = Make(tokenizer, {.stop = {"END"}, .tokens_wait_for_text = true});
  const auto push = [&](int32_t id) {
    Delta delta;
    output.Push({.id = id, .top = {}}, &delta);
    return delta.tokens.size();
  };
  EXPECT_EQ(push('x'), 1u);
  EXPECT_EQ(push('E'), 0u);     // may be a stop
  EXPECT_EQ(push('y'), 2u);
  EXPECT_EQ(push(0xC3), 0u);    // half a character
  EXPECT_EQ(push(0xA9), 2u);
  EXPECT_EQ(push(FakeTokenizer::kBos), 1u);  // no text at all
  EXPECT_EQ(push('E'), 0u);
  Delta delta;
  output.PushEnd({.id = FakeTokenizer::kEos, .top = {}}, &delta);
  EXPECT_TRUE(delta.tokens.empty());
  output.Finish(&delta);
  EXPECT_EQ(delta.tokens.size(), 2u);
  EXPECT_EQ(delta.text, "E");
}

// Cause: the strings are the client's; a search that starts again at every token takes 60,000
// comparisons a token for these, and every stream of the engine waits for it.
TEST(OutputText, HostileStopStringsCostNoMoreThanOthers) {
  const FakeTokenizer tokenizer;
  const std::vector<std::string> stops(16, std::string(255, 'a') + "b");
  OutputText output = Make(tokenizer, {.stop = stops});
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100000; ++i) {
    Delta delta;
    ASSERT_FALSE(output.Push({.id = i % 400 == 399 ? 'x' : 'a', .top = {}}, &delta));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

// The truth: what a reader sees who looks for stops after every single character.
std::string Cut(const std::string& all, const std::vector<std::string>& stops, bool include) {
  for (size_t end = 1; end <= all.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      const std::string_view head(all.data(), end);
      if (head.ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return all.substr(0, include ? end : end - longest);
  }
  return all;
}

TEST(OutputText, AgreesWithACharacterwiseSearchHoweverTokensCutTheText) {
  Random random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string all;
    for (uint64_t n = random.Below(40); n > 0; --n) all += static_cast<char>('a' + random.Below(3));
    std::vector<std::string> stops;
    for (uint64_t n = random.Below(4); n > 0; --n) {
      std::string stop;
      for (uint64_t m = 1 + random.Below(5); m > 0; --m) {
        stop += static_cast<char>('a' + random.Below(3));
      }
      stops.push_back(stop);
    }
    std::vector<std::string> pieces;
    for (size_t at = 0; at < all.size();) {
      const size_t n = 1 + random.Below(6);
      pieces.push_back(all.substr(at, n));
      at += n;
    }
    const FakeTokenizer tokenizer(pieces);
    std::vector<int32_t> ids;
    for (size_t i = 0; i < pieces.size(); ++i) {
      ids.push_back(FakeTokenizer::kFirstPiece + static_cast<int32_t>(i));
    }
    const bool include = random.Below(2) == 0;
    const Heard heard = Hear(tokenizer,
                            {.stop = stops, .include_stop_in_text = include,
                             .tokens_wait_for_text = random.Below(2) == 0},
                            ids);
    ASSERT_EQ(heard.text, Cut(all, stops, include)) << all;
    ASSERT_LE(heard.tokens.size(), ids.size());
    if (!heard.stopped) { ASSERT_EQ(heard.tokens, ids); }
    for (const std::string& piece : heard.pieces) ASSERT_TRUE(heard.text.starts_with(piece));
  }
}

}  // namespace
}  // namespace pelton::engine
