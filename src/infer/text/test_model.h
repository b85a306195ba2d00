// Small vocabularies for the tests of this room.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/utf8.h"
#include "format/model_file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace pelton::text {

enum TestKind : int64_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// Fields in, metadata out; the texts live as long as this object.
class TestModel {
 public:
  std::string model = "gpt2";
  std::string pre = "gpt-2";
  std::vector<std::string> pieces;
  std::vector<int64_t> kinds;
  std::vector<double> scores;  // left out when empty
  std::vector<std::string> merges;
  std::vector<std::pair<std::string, format::MetadataValue>> extra;

  TokenId Add(std::string piece, int64_t kind, double score = 0) {
    pieces.push_back(std::move(piece));
    kinds.push_back(kind);
    if (model == "llama") scores.push_back(score);
    return static_cast<TokenId>(pieces.size() - 1);
  }
  void Set(std::string key, format::MetadataValue value) {
    extra.emplace_back(std::move(key), std::move(value));
  }
  void SetText(std::string key, std::string text) {
    texts_.push_back(std::move(text));
    Set(std::move(key), std::string_view(texts_.back()));
  }

  format::Metadata Build() const {
    format::Metadata m;
    m.Set("tokenizer.ggml.model", std::string_view(model));
    m.Set("tokenizer.ggml.pre", std::string_view(pre));
    m.Set("tokenizer.ggml.tokens", std::vector<std::string_view>(pieces.begin(), pieces.end()));
    m.Set("tokenizer.ggml.token_type", kinds);
    if (!scores.empty()) m.Set("tokenizer.ggml.scores", scores);
    m.Set("tokenizer.ggml.merges", std::vector<std::string_view>(merges.begin(), merges.end()));
    for (const auto& [key, value] : extra) m.Set(key, value);
    return m;
  }
  Result<std::unique_ptr<Tokenizer>> Load() const { return Tokenizer::FromMetadata(Build()); }

 private:
  std::deque<std::string> texts_;
};

// GPT-2's letters: byte b has id b. Then "ab" 256, "Ġa" 257, ChatML's three control tokens 258 to 260
// and the user-defined "<tool>" 261.
inline TestModel ByteLevelModel() {
  TestModel m;
  uint32_t next = 0x100;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool own = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
    std::string letter;
    codec::AppendUtf8(own ? b : next++, &letter);
    m.Add(letter, kNormal);
  }
  m.Add("ab", kNormal);
  m.Add("\u0120a", kNormal);
  m.merges = {"a b", "\u0120 a"};
  m.Add("<|endoftext|>", kControl);
  m.Add("<|im_start|>", kControl);
  m.Add("<|im_end|>", kControl);
  m.Add("<tool>", kUserDefined);
  m.Set("tokenizer.ggml.bos_token_id", uint64_t{258});
  m.Set("tokenizer.ggml.eos_token_id", uint64_t{260});
  return m;
}

// SentencePiece: <unk> 0, <s> 1, </s> 2, bytes 3 to 258, then pieces.
inline TestModel ScoredModel() {
  TestModel m;
  m.model = "llama";
  m.pre = "default";
  m.Add("<unk>", kUnknown);
  m.Add("<s>", kControl);
  m.Add("</s>", kControl);
  for (int b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    m.Add(name, kByte);
  }
  for (const char* p : {"\u2581", "a", "b", "c", "h", "i"}) m.Add(p, kNormal, -10);
  m.Add("ab", kNormal, -2);
  m.Add("bc", kNormal, -1);
  m.Add("abc", kNormal, -3);
  m.Add("\u2581h", kNormal, -4);
  m.Add("\u2581hi", kNormal, -5);
  m.Add("  ", kUserDefined, -1000);
  m.Set("tokenizer.ggml.unknown_token_id", uint64_t{0});
  m.Set("tokenizer.ggml.bos_token_id", uint64_t{1});
  m.Set("tokenizer.ggml.eos_token_id", uint64_t{2});
  return m;
}

inline ChatMessage Says(std::string role, std::string content) {
  ChatMessage m;
  m.role = std::move(role);
  m.content = std::move(content);
  return m;
}

}  // namespace pelton::text
