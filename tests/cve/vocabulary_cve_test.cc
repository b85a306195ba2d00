// Row 4: narrowing casts and unchecked numbers in vocabularies of model files.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "format/gguf.h"
#include "format/gguf_writer.h"
#include "text/tokenizer.h"

namespace pelton::cve {
namespace {

using Views = std::vector<std::string_view>;

// A small valid vocabulary of either kind, to be changed in one place.
struct Vocabulary {
  bool sentence_piece = true;
  Views tokens;
  std::vector<int64_t> kinds;
  std::vector<double> scores;
  std::vector<std::pair<std::string, format::MetadataValue>> more;
  std::vector<std::string> owned;

  explicit Vocabulary(bool sentence_piece_in = true) : sentence_piece(sentence_piece_in) {
    tokens = {"<unk>", "<s>", "</s>"};
    kinds = {2, 3, 3};
    owned.reserve(256);
    for (int byte = 0; byte < 256 && sentence_piece; ++byte) {
      constexpr char kHex[] = "0123456789ABCDEF";
      owned.push_back(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
      tokens.push_back(owned.back());
      kinds.push_back(6);
    }
    for (const char* token : {"a", "b", "ab"}) {
      tokens.push_back(token);
      kinds.push_back(1);
    }
    scores.assign(tokens.size(), -1);
  }

  // The status of building a tokenizer, having encoded and decoded a little when there is one.
  Status Use() const {
    format::GgufWriter writer;
    writer.Set("tokenizer.ggml.model", std::string_view(sentence_piece ? "llama" : "gpt2"));
    writer.Set("tokenizer.ggml.pre", std::string_view("default"));
    writer.Set("tokenizer.ggml.tokens", tokens);
    writer.Set("tokenizer.ggml.token_type", kinds);
    writer.Set("tokenizer.ggml.scores", scores);
    writer.Set("tokenizer.ggml.merges", Views{"a b"});
    writer.Set("tokenizer.ggml.bos_token_id", uint64_t{1});
    writer.Set("tokenizer.ggml.eos_token_id", uint64_t{2});
    for (const auto& [key, value] : more) writer.Set(key, value);
    const std::vector<std::byte> bytes = writer.Bytes();
    const auto file = format::ParseGguf(bytes);
    if (!file.ok()) return file.status();
    const auto tokenizer = text::Tokenizer::FromMetadata(file->metadata);
    if (!tokenizer.ok()) return tokenizer.status();
    const auto ids =
        (*tokenizer)
            ->Encode("ab <0x-1> \xf0\x9f\x98\x80", {.add_bos = true, .parse_special = true});
    if (!ids.ok()) return ids.status();
    for (const text::TokenId id :
         {-2147483647 - 1, -1, 0, (*tokenizer)->vocab_size(), 2147483647}) {
      (void)(*tokenizer)->Bytes(id, true);
      (void)(*tokenizer)->Piece(id);
    }
    (void)(*tokenizer)->Decode(*ids, true);
    return OkStatus();
  }
};

void ExpectRefused(const Vocabulary& vocabulary, const std::string& part) {
  const Status status = vocabulary.Use();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
  EXPECT_NE(status.message().find(part), std::string::npos) << status.ToString();
}

TEST(VocabularyCve, TheVocabulariesOfTheseTestsAreValid) {
  EXPECT_EQ(Vocabulary(true).Use().ToString(), OkStatus().ToString());
  EXPECT_EQ(Vocabulary(false).Use().ToString(), OkStatus().ToString());
}

// llama.cpp #25969 (PLaMo-2): "<0x-1>" parsed as a signed number, an index in front of the table.
TEST(VocabularyCve, Row4_NegativeAndMisspeltByteTokensAreRefused) {
  for (const char* piece : {"<0x-1>", "<0x+1>", "<0x 1>", "<0x1>", "<0x100>", "<0xGG>", "<0x>",
                            "<0x00", "0x00>", "<0x80000000>", "<0X41>", ""}) {
    Vocabulary vocabulary;
    vocabulary.tokens[3 + 0x41] = piece;
    ExpectRefused(vocabulary, "tokenizer.ggml.token");
  }
}

// CVE-2025-49847: the length of a token, cut to 32 bits signed, went into a copy.
TEST(VocabularyCve, Row4_2025_49847_LongTokensAreRefused) {
  for (const bool sentence_piece : {true, false}) {
    const std::string long_token(4097, 'x');
    Vocabulary vocabulary(sentence_piece);
    vocabulary.tokens.back() = long_token;
    ExpectRefused(vocabulary, "4097 bytes");
    const std::string longest(4096, 'x');
    vocabulary.tokens.back() = longest;
    if (!sentence_piece) vocabulary.more = {{"tokenizer.ggml.merges", Views{}}};
    EXPECT_EQ(vocabulary.Use().ToString(), OkStatus().ToString());
  }
}

// CVE-2025-52566: the number of tokens wrapped. Arrays of different lengths are its smaller sister.
TEST(VocabularyCve, Row4_2025_52566_ArraysOfOneLength) {
  for (const bool sentence_piece : {true, false}) {
    Vocabulary kinds(sentence_piece);
    kinds.kinds.pop_back();
    ExpectRefused(kinds, "token_type");
    Vocabulary scores(sentence_piece);
    scores.scores.push_back(0);
    ExpectRefused(scores, "scores");
    Vocabulary none(sentence_piece);
    none.tokens.clear();
    none.kinds.clear();
    none.scores.clear();
    ExpectRefused(none, "tokenizer.ggml.tokens");
  }
}

TEST(VocabularyCve, Row4_IdsOutsideTheVocabularyAreRefused) {
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id"}) {
    // 2^32 - 1 is how converters write "none".
    for (const uint64_t id :
         {uint64_t{262}, uint64_t{0x7fffffff}, uint64_t{0x80000000}, uint64_t{0xfffffffe},
          uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}}) {
      Vocabulary vocabulary;
      vocabulary.more = {{key, id}};
      ExpectRefused(vocabulary, key);
    }
    Vocabulary negative;
    negative.more = {{key, int64_t{-1}}};
    ExpectRefused(negative, key);
  }
}

TEST(VocabularyCve, Row4_TypesAndScoresOutsideTheirRangeAreRefused) {
  for (const int64_t kind : {int64_t{-1}, int64_t{7}, int64_t{0x7fffffff}, int64_t{-0x7fffffff}}) {
    Vocabulary vocabulary;
    vocabulary.kinds.back() = kind;
    ExpectRefused(vocabulary, "token_type");
  }
  for (const double score :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    Vocabulary vocabulary;
    vocabulary.scores.back() = score;
    ExpectRefused(vocabulary, "scores");
  }
}

TEST(VocabularyCve, Row4_PiecesAreUtf8AndMergesArePairs) {
  for (const bool sentence_piece : {true, false}) {
    for (const char* piece : {"\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80"}) {
      Vocabulary vocabulary(sentence_piece);
      vocabulary.tokens.back() = piece;
      ExpectRefused(vocabulary, "UTF-8");
    }
  }
  for (const char* merge : {"ab", "", " ", "a b c d", "x y", "a ", " b"}) {
    Vocabulary vocabulary(false);
    vocabulary.more = {{"tokenizer.ggml.merges", Views{merge}}};
    ExpectRefused(vocabulary, "merges");
  }
}

}  // namespace
}  // namespace pelton::cve
