#include "text/vocabulary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "text/test_model.h"

namespace pelton::text {
namespace {

Result<Vocabulary> Read(const TestModel& m) {
  const auto spelling = m.model == "llama" ? Spelling::kEscapedSpaces : Spelling::kByteLetters;
  return Vocabulary::Read(m.Build(), spelling);
}

void ExpectRefused(const TestModel& m, std::string_view says) {
  const auto read = Read(m);
  ASSERT_FALSE(read.ok()) << says;
  EXPECT_EQ(read.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(read.status().message().find(says), std::string::npos) << read.status().message();
}

TEST(Vocabulary, ReadsPiecesKindsAndBytes) {
  const auto v = Read(ByteLevelModel());
  ASSERT_TRUE(v.ok()) << v.status().ToString();
  EXPECT_EQ(v->size(), 262);
  EXPECT_EQ(v->IdOf("ab"), 256);
  EXPECT_EQ(v->IdOf("nothing"), -1);
  EXPECT_EQ(v->IdOf(""), -1);
  EXPECT_EQ(v->bytes(257), " a");
  EXPECT_EQ(v->bytes(0), std::string_view("\0", 1));
  EXPECT_EQ(v->bytes(0xff), "\xff");
  EXPECT_EQ(v->bytes(261), "<tool>");
  EXPECT_EQ(v->kind(258), TokenKind::kControl);
  EXPECT_EQ(v->bos(), 258);
  EXPECT_EQ(v->eos(), 260);
  EXPECT_EQ(v->end_ids(), (std::vector<TokenId>{258, 260}));  // <|endoftext|> and <|im_end|>
}

TEST(Vocabulary, ScoredPiecesUnescapeSpaces) {
  const auto v = Read(ScoredModel());
  ASSERT_TRUE(v.ok()) << v.status().ToString();
  EXPECT_EQ(v->bytes(v->IdOf("\u2581hi")), " hi");
  EXPECT_EQ(v->bytes(v->IdOf("<0x0A>")), "\n");
  EXPECT_EQ(v->ByteToken(0xff), 3 + 255);
  EXPECT_TRUE(v->has_all_byte_tokens());
}

TEST(Vocabulary, ArraysMustHaveOneLength) {
  TestModel m = ScoredModel();
  m.kinds.pop_back();
  ExpectRefused(m, "tokenizer.ggml.token_type: 270 entries for 271 tokens");
  m = ScoredModel();
  m.scores.push_back(0);
  ExpectRefused(m, "tokenizer.ggml.scores: 272 entries for 271 tokens");
  m = TestModel();
  ExpectRefused(m, "tokenizer.ggml.tokens: 0 tokens");
}

TEST(Vocabulary, IdsMustBeInRange) {
  for (const char* key : {"bos", "eos", "eot", "eom", "unknown"}) {
    TestModel m = ScoredModel();
    const std::string name = std::string("tokenizer.ggml.") + key + "_token_id";
    m.Set(name, uint64_t{271});
    ExpectRefused(m, name + ": 271 is not one of the 271 tokens");
    m.Set(name, uint64_t{270});
    EXPECT_TRUE(Read(m).ok()) << name;
    m.Set(name, int64_t{-1});
    EXPECT_FALSE(Read(m).ok()) << name;
  }
  TestModel none = ScoredModel();
  none.Set("tokenizer.ggml.bos_token_id", uint64_t{0xffffffff});
  ASSERT_TRUE(Read(none).ok());
  EXPECT_EQ(Read(none)->bos(), -1);
}

TEST(Vocabulary, ScoresMustBeFinite) {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300}) {
    TestModel m = ScoredModel();
    m.scores[5] = bad;
    ExpectRefused(m, "tokenizer.ggml.scores[5]: not a finite number");
  }
  TestModel m = ScoredModel();
  m.scores[5] = std::numeric_limits<float>::max();
  EXPECT_TRUE(Read(m).ok());
}

TEST(Vocabulary, KindsMustBeKnown) {
  for (const int64_t bad : {int64_t{-1}, int64_t{7}, std::numeric_limits<int64_t>::max()}) {
    TestModel m = ScoredModel();
    m.kinds[9] = bad;
    ExpectRefused(m, "tokenizer.ggml.token_type[9]");
  }
  TestModel m = ScoredModel();
  m.kinds[260] = 0;
  EXPECT_TRUE(Read(m).ok());
}

TEST(Vocabulary, ByteTokensAreStrict) {
  for (const char* bad : {"<0x-1>", "<0x1>", "<0x100>", "<0xG0>", "<0x 1>", "<0X41>", "0x41", "", "<0x4+>"}) {
    TestModel m = ScoredModel();
    m.pieces[3] = bad;
    ExpectRefused(m, "tokenizer.ggml.tokens[3]: a byte token must be <0xNN>");
  }
  TestModel twice = ScoredModel();
  twice.pieces[4] = "<0x00>";
  ExpectRefused(twice, "a second token for byte 0x00");
}

TEST(Vocabulary, PiecesAreBoundedAndUtf8) {
  TestModel m = ByteLevelModel();
  m.pieces[256] = std::string(kPieceBytesMax, 'x');
  EXPECT_TRUE(Read(m).ok());
  m.pieces[256] += "x";
  ExpectRefused(m, "tokenizer.ggml.tokens[256]: 4097 bytes");
  m.pieces[256] = "\xff";
  ExpectRefused(m, "tokenizer.ggml.tokens[256]: not valid UTF-8");
  m.pieces[256] = "\xed\xa0\x80";
  ExpectRefused(m, "not valid UTF-8");
}

TEST(Vocabulary, TheNumberOfTokensIsBounded) {
  TestModel m;
  m.pieces.assign(kVocabMax + 1, "x");
  m.kinds.assign(kVocabMax + 1, kNormal);
  ExpectRefused(m, "2097153 tokens");
  m.pieces.pop_back();
  m.kinds.pop_back();
  EXPECT_TRUE(Read(m).ok());
}

TEST(Vocabulary, MistypedTurnTokensBecomeControl) {
  TestModel m = ByteLevelModel();
  const TokenId end = m.Add("<end_of_turn>", kUserDefined);
  const TokenId eot = m.Add("<|eot_id|>", kNormal);
  const TokenId html = m.Add("</s>", kUserDefined);
  const TokenId plain = m.Add("turn_end", kNormal);
  m.Set("tokenizer.ggml.eom_token_id", uint64_t(plain));
  const auto v = Read(m);
  ASSERT_TRUE(v.ok());
  EXPECT_EQ(v->kind(end), TokenKind::kControl);
  EXPECT_EQ(v->kind(eot), TokenKind::kControl);
  EXPECT_EQ(v->kind(html), TokenKind::kUserDefined);  // strike-through in Gemma
  EXPECT_EQ(v->kind(plain), TokenKind::kNormal);
  EXPECT_EQ(v->end_ids(), (std::vector<TokenId>{258, 260, end, eot, plain}));
}

TEST(Vocabulary, TheFirstOfEqualPiecesIsMeant) {
  TestModel m = ByteLevelModel();
  m.Add("ab", kNormal);
  ASSERT_TRUE(Read(m).ok());
  EXPECT_EQ(Read(m)->IdOf("ab"), 256);
}

}  // namespace
}  // namespace pelton::text
