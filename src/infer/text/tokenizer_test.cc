#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "text/literal_matcher.h"
#include "text/test_model.h"

namespace pelton::text {
namespace {

using Ids = std::vector<TokenId>;

std::unique_ptr<Tokenizer> Loaded(const TestModel& m) {
  auto t = m.Load();
  EXPECT_TRUE(t.ok()) << t.status().ToString();
  return t.ok() ? std::move(t).value() : nullptr;
}

Ids Encoded(const Tokenizer& t, std::string_view text, EncodeOptions options = {}) {
  const auto ids = t.Encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status().ToString();
  return ids.ok() ? *ids : Ids{};
}

std::string ErrorOf(const TestModel& m) {
  const auto t = m.Load();
  return t.ok() ? "no error" : t.status().message();
}

// A string of characters that trouble tokenizers.
std::string RandomText(Random& random, size_t characters) {
  static constexpr std::string_view kParts[] = {
      "a", "b", "c", "ab", " ", "  ", "\n", "<", "<|im_end|>", "<|", "|>", "</s>", "<s>", "<0x41>",
      "\u2581", "\u0120", "\u00e9", "\u65e5", "\U0001F600", "\u200d", "<tool>", "1", "hi", "\t"};
  std::string out;
  for (size_t i = 0; i < characters; ++i) out += kParts[random.Below(std::size(kParts))];
  return out;
}

TEST(ByteLevel, MergesAndFallsBackToBytes) {
  const auto t = Loaded(ByteLevelModel());
  EXPECT_EQ(Encoded(*t, "ab a"), (Ids{256, 257}));
  EXPECT_EQ(Encoded(*t, "\u00e9"), (Ids{0xc3, 0xa9}));
  EXPECT_EQ(Encoded(*t, ""), Ids{});
  EXPECT_EQ(Encoded(*t, std::string_view("\0", 1)), Ids{0});
  EXPECT_FALSE(t->strips_leading_space());
}

TEST(ByteLevel, TextGivesControlTokensOnlyWhenAsked) {
  const auto t = Loaded(ByteLevelModel());
  EXPECT_EQ(Encoded(*t, "ab<|im_end|>ab", {.parse_special = true}), (Ids{256, 260, 256}));
  for (const TokenId id : Encoded(*t, "ab<|im_end|>ab")) EXPECT_LT(id, 258);
  EXPECT_EQ(Encoded(*t, "ab<tool>ab"), (Ids{256, 261, 256}));  // user-defined is text
}

TEST(ByteLevel, OneBosAndNeverASecond) {
  TestModel m = ByteLevelModel();
  EXPECT_EQ(Encoded(*Loaded(m), "ab", {.add_bos = true}), Ids{256});  // the model wants none
  m.Set("tokenizer.ggml.add_bos_token", true);
  const auto t = Loaded(m);
  EXPECT_TRUE(t->add_bos());
  EXPECT_EQ(Encoded(*t, "ab"), Ids{256});
  EXPECT_EQ(Encoded(*t, "ab", {.add_bos = true}), (Ids{258, 256}));
  EXPECT_EQ(Encoded(*t, "<|endoftext|>ab", {.add_bos = true, .parse_special = true}), (Ids{258, 256}));
  EXPECT_EQ(Encoded(*t, "", {.add_bos = true}), Ids{258});
}

TEST(ByteLevel, UnknownPretokenizerIsNamed) {
  TestModel m = ByteLevelModel();
  m.pre = "nonsense";
  EXPECT_NE(ErrorOf(m).find("tokenizer.ggml.pre: \"nonsense\""), std::string::npos) << ErrorOf(m);
  EXPECT_NE(ErrorOf(m).find("smollm"), std::string::npos);
}

TEST(ByteLevel, BadMergesAreNamed) {
  TestModel m = ByteLevelModel();
  m.merges = {"a b", "ab"};
  EXPECT_NE(ErrorOf(m).find("tokenizer.ggml.merges[1]"), std::string::npos) << ErrorOf(m);
  m.merges = {"a z"};
  EXPECT_NE(ErrorOf(m).find("az"), std::string::npos) << ErrorOf(m);
  m.merges = {"\xff a"};
  EXPECT_NE(ErrorOf(m).find("UTF-8"), std::string::npos) << ErrorOf(m);
}

TEST(ByteLevel, MergesThatWouldGiveAControlTokenAreVoid) {
  TestModel m = ByteLevelModel();
  const TokenId control = m.Add("abz", kControl);
  m.merges = {"a b", "ab z"};
  EXPECT_EQ(Encoded(*Loaded(m), "abz"), (Ids{256, 'z'}));
  EXPECT_EQ(Encoded(*Loaded(m), "abz", {.parse_special = true}), Ids{control});
}

TEST(Scored, HighestScoreFirst) {
  TestModel m = ScoredModel();
  m.Set("tokenizer.ggml.add_space_prefix", false);
  const auto t = Loaded(m);
  const TokenId a = t->IdOf("a");
  EXPECT_EQ(Encoded(*t, "abc"), (Ids{t->IdOf("abc")}));  // bc (-1) joins first, then a
  EXPECT_EQ(Encoded(*t, "aab"), (Ids{a, t->IdOf("ab")}));
  EXPECT_EQ(Encoded(*t, " hi"), Ids{t->IdOf("\u2581hi")});
  EXPECT_EQ(Encoded(*t, "\u00e9"), (Ids{t->IdOf("<0xC3>"), t->IdOf("<0xA9>")}));
  EXPECT_EQ(Encoded(*t, "a   b"), (Ids{a, t->IdOf("  "), t->IdOf("\u2581"), t->IdOf("b")}));
}

TEST(Scored, ALongRunEncodesAsAShortOne) {
  TestModel m = ScoredModel();
  m.Set("tokenizer.ggml.add_space_prefix", false);
  const auto t = Loaded(m);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "abc";
  EXPECT_EQ(Encoded(*t, text), Ids(100, t->IdOf("abc")));
}

TEST(Scored, SpacePrefixComesAndGoes) {
  const auto t = Loaded(ScoredModel());  // both wishes are the default of this kind
  EXPECT_TRUE(t->add_bos());
  EXPECT_TRUE(t->strips_leading_space());
  EXPECT_EQ(Encoded(*t, "hi", {.add_bos = true}), (Ids{1, t->IdOf("\u2581hi")}));
  EXPECT_EQ(Encoded(*t, ""), Ids{});
  EXPECT_EQ(t->Decode(Encoded(*t, "hi")), "hi");
  EXPECT_EQ(t->Decode(Encoded(*t, " hi hi")), " hi hi");
}

TEST(Scored, UnknownAndUnusedPieces) {
  TestModel m = ScoredModel();
  m.Set("tokenizer.ggml.add_space_prefix", false);
  m.kinds[4] = kNormal;  // one byte token less: no fallback
  m.Add("ca", kUnused, -0.5);
  const auto t = Loaded(m);
  EXPECT_EQ(Encoded(*t, "a\u00e9\u00e9"), (Ids{t->IdOf("a"), 0}));  // neighbours share one <unk>
  EXPECT_EQ(Encoded(*t, "ca"), (Ids{t->IdOf("c"), t->IdOf("a")}));
}

TEST(Scored, ControlTextIsTextUnlessAsked) {
  const auto t = Loaded(ScoredModel());
  for (const TokenId id : Encoded(*t, "a</s>b<s><unk>")) EXPECT_GT(id, 2);
  const Ids ids = Encoded(*t, "a</s>", {.parse_special = true});
  EXPECT_EQ(ids.back(), 2);
}

TEST(AnyTokenizer, TextIsBoundedAndValid) {
  const auto t = Loaded(ScoredModel());
  EXPECT_TRUE(t->Encode(std::string(kTextBytesMax, ' '), {}).ok());
  const auto over = t->Encode(std::string(kTextBytesMax + 1, ' '), {});
  EXPECT_EQ(over.status().code(), StatusCode::kInvalidArgument);
  const auto invalid = t->Encode("a\xff", {});
  EXPECT_EQ(invalid.status().code(), StatusCode::kInvalidArgument);
}

TEST(AnyTokenizer, UnknownModelIsNamed) {
  TestModel m = ByteLevelModel();
  m.model = "bert";
  EXPECT_NE(ErrorOf(m).find("\"bert\" is not supported"), std::string::npos);
  EXPECT_EQ(Tokenizer::FromMetadata({}).status().code(), StatusCode::kNotFound);
}

TEST(AnyTokenizer, RandomTextComesBackAndGivesNoControlToken) {
  for (const TestModel& m : {ByteLevelModel(), ScoredModel()}) {
    const auto t = Loaded(m);
    Random random(7);
    for (int i = 0; i < 3000; ++i) {
      const std::string text = RandomText(random, 1 + random.Below(20));
      const Ids ids = Encoded(*t, text);
      for (const TokenId id : ids) ASSERT_FALSE(t->IsControl(id)) << text;
      if (m.model == "llama" && text.find("\u2581") != std::string::npos) continue;
      ASSERT_EQ(t->Decode(ids), text);
    }
  }
}

TEST(AnyTokenizer, OutOfRangeIdsGiveNothing) {
  const auto t = Loaded(ByteLevelModel());
  for (const TokenId id : {-1, 262, 1 << 30}) {
    EXPECT_EQ(t->Bytes(id), "");
    EXPECT_EQ(t->Piece(id), "");
    EXPECT_FALSE(t->IsControl(id));
  }
  EXPECT_EQ(t->Bytes(260), "");
  EXPECT_EQ(t->Bytes(260, true), "<|im_end|>");
}

TEST(AnyTokenizer, ThreadsShareOne) {
  const auto t = Loaded(ByteLevelModel());
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      Random random(static_cast<uint64_t>(n));
      for (int i = 0; i < 500; ++i) {
        const std::string text = RandomText(random, 10);
        const auto ids = t->Encode(text, {});
        wrong[static_cast<size_t>(n)] += !ids.ok() || t->Decode(*ids) != text;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(DetokenizerTest, HoldsBackHalfCharacters) {
  const auto t = Loaded(ByteLevelModel());
  Detokenizer d(*t);
  EXPECT_EQ(d.Push(0xf0), "");
  EXPECT_EQ(d.Push(0x9f), "");
  EXPECT_EQ(d.Push(0x98), "");
  EXPECT_EQ(d.Push(0x80), "\U0001F600");
  EXPECT_EQ(d.Push(0xe6), "");
  EXPECT_EQ(d.Push('a'), "\uFFFDa");
  EXPECT_EQ(d.Push(0xff), "\uFFFD");
  EXPECT_EQ(d.Push(0xe6), "");
  EXPECT_EQ(d.Flush(), "\uFFFD");
  EXPECT_EQ(d.Flush(), "");
}

TEST(DetokenizerTest, RandomTokenStreamsAreValidUtf8AndLoseNothing) {
  for (const TestModel& m : {ByteLevelModel(), ScoredModel()}) {
    const auto t = Loaded(m);
    Random random(11);
    for (int stream = 0; stream < 100'000; ++stream) {
      Detokenizer d(*t);
      std::string raw;
      std::string out;
      for (uint64_t i = random.Below(12); i > 0; --i) {
        const auto id = static_cast<TokenId>(random.Below(static_cast<uint64_t>(t->vocab_size())));
        raw += t->Bytes(id);
        const std::string part = d.Push(id);
        ASSERT_TRUE(codec::ValidUtf8(part));
        out += part;
      }
      const std::string rest = d.Flush();
      ASSERT_TRUE(codec::ValidUtf8(rest));
      if (t->strips_leading_space() && raw.starts_with(' ')) raw.erase(0, 1);
      ASSERT_EQ(out + rest, codec::SanitizeUtf8(raw));
    }
  }
}

TEST(LiteralMatcherTest, LongestAtTheLeftmostPlace) {
  const LiteralMatcher m({{"<a>", 1}, {"<a", 2}, {"<ab>", 3}, {"", 4}, {"<a>", 5}, {"\xff", 6}});
  EXPECT_EQ(m.Find("x<ab>", 0).id, 3);
  EXPECT_EQ(m.Find("x<a>", 0).id, 1);
  EXPECT_EQ(m.Find("x<a", 0).id, 2);
  EXPECT_EQ(m.Find("x<abc", 0).size, 2U);
  EXPECT_EQ(m.Find("<<a", 0).begin, 1U);
  EXPECT_EQ(m.Find("<a>", 1).size, 0U);
  EXPECT_EQ(m.Find("a\xff", 0).id, 6);
  EXPECT_EQ(LiteralMatcher().Find("x", 0).size, 0U);
}

}  // namespace
}  // namespace pelton::text
