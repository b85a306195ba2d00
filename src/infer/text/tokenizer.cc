#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "codec/utf8.h"
#include "text/byte_pair.h"
#include "text/literal_matcher.h"
#include "text/sentence_piece.h"
#include "text/vocabulary.h"

namespace pelton::text {
namespace {

struct Wishes {  // what the file asks for
  bool add_bos = false;
  bool add_space_prefix = false;
};

// What both kinds share: the vocabulary, control tokens, BOS.
class VocabularyTokenizer : public Tokenizer {
 public:
  VocabularyTokenizer(Vocabulary vocabulary, Wishes wishes)
      : vocabulary_(std::move(vocabulary)), wishes_(wishes) {
    std::vector<LiteralMatcher::Entry> control;
    for (TokenId id = 0; id < vocabulary_.size(); ++id) {
      if (vocabulary_.kind(id) == TokenKind::kControl) {
        control.push_back({std::string(vocabulary_.piece(id)), id});
      }
    }
    control_ = LiteralMatcher(std::move(control));
  }

  Result<std::vector<TokenId>> Encode(std::string_view text, EncodeOptions options) const override {
    if (text.size() > kTextBytesMax) {
      return InvalidArgument(fmt::format("the text has {} bytes, more than the {} supported",
                                         text.size(), kTextBytesMax));
    }
    if (!codec::ValidUtf8(text)) return InvalidArgument("the text is not valid UTF-8");
    std::vector<TokenId> ids;
    const bool bos = options.add_bos && wishes_.add_bos && vocabulary_.bos() >= 0;
    if (bos) ids.push_back(vocabulary_.bos());
    size_t at = 0;
    while (options.parse_special && at < text.size()) {
      const LiteralMatcher::Match found = control_.Find(text, at);
      if (found.size == 0) break;
      RETURN_IF_ERROR(EncodePlain(text.substr(at, found.begin - at), &ids));
      const bool second_bos = bos && found.begin == 0 && found.id == vocabulary_.bos();
      if (!second_bos) ids.push_back(found.id);
      at = found.begin + found.size;
    }
    RETURN_IF_ERROR(EncodePlain(text.substr(at), &ids));
    return ids;
  }

  std::string_view Bytes(TokenId id, bool special) const override {
    if (!vocabulary_.Contains(id)) return {};
    const TokenKind kind = vocabulary_.kind(id);
    const bool shown = kind != TokenKind::kControl && kind != TokenKind::kUnknown;
    return shown || special ? vocabulary_.bytes(id) : std::string_view{};
  }
  std::string_view Piece(TokenId id) const override {
    return vocabulary_.Contains(id) ? vocabulary_.piece(id) : std::string_view{};
  }
  int vocab_size() const override { return vocabulary_.size(); }
  TokenId bos() const override { return vocabulary_.bos(); }
  TokenId eos() const override { return vocabulary_.eos(); }
  bool add_bos() const override { return wishes_.add_bos && vocabulary_.bos() >= 0; }
  std::span<const TokenId> end_ids() const override { return vocabulary_.end_ids(); }
  bool IsControl(TokenId id) const override {
    return vocabulary_.Contains(id) && vocabulary_.kind(id) == TokenKind::kControl;
  }
  bool strips_leading_space() const override { return wishes_.add_space_prefix; }
  TokenId IdOf(std::string_view piece) const override { return vocabulary_.IdOf(piece); }

 protected:
  // Text between control tokens, never one itself.
  virtual Status EncodePlain(std::string_view text, std::vector<TokenId>* ids) const = 0;

  const Vocabulary vocabulary_;
  const Wishes wishes_;

 private:
  LiteralMatcher control_;
};

class BytePairTokenizer final : public VocabularyTokenizer {
 public:
  BytePairTokenizer(Vocabulary vocabulary, Wishes wishes, BytePair pairs)
      : VocabularyTokenizer(std::move(vocabulary), wishes), pairs_(std::move(pairs)) {
    std::vector<LiteralMatcher::Entry> user_defined;
    for (TokenId id = 0; id < vocabulary_.size(); ++id) {
      if (vocabulary_.kind(id) == TokenKind::kUserDefined) {
        user_defined.push_back({std::string(vocabulary_.piece(id)), id});
      }
    }
    user_defined_ = LiteralMatcher(std::move(user_defined));
  }

 private:
  Status EncodePlain(std::string_view text, std::vector<TokenId>* ids) const override {
    size_t at = 0;
    while (at < text.size()) {
      const LiteralMatcher::Match found = user_defined_.Find(text, at);
      const size_t end = found.size == 0 ? text.size() : found.begin;
      if (end > at) RETURN_IF_ERROR(pairs_.Encode(text.substr(at, end - at), ids));
      if (found.size > 0) ids->push_back(found.id);
      at = end + found.size;
    }
    return {};
  }

  BytePair pairs_;
  LiteralMatcher user_defined_;
};

class SentencePieceTokenizer final : public VocabularyTokenizer {
 public:
  SentencePieceTokenizer(Vocabulary vocabulary, Wishes wishes)
      : VocabularyTokenizer(std::move(vocabulary), wishes), pieces_(vocabulary_) {}

 private:
  Status EncodePlain(std::string_view text, std::vector<TokenId>* ids) const override {
    if (text.empty()) return {};
    std::string escaped;
    escaped.reserve(text.size() + text.size() / 2);
    if (wishes_.add_space_prefix) escaped.append(kEscapedSpace);
    for (const char c : text) {
      if (c == ' ') escaped.append(kEscapedSpace);
      else escaped.push_back(c);
    }
    pieces_.Encode(escaped, ids);
    return {};
  }

  SentencePiece pieces_;
};

Result<Wishes> ReadWishes(const format::Metadata& metadata, bool add_bos, bool add_space_prefix) {
  const auto bos = metadata.BoolOr("tokenizer.ggml.add_bos_token", add_bos);
  RETURN_IF_ERROR(bos.status());
  const auto space = metadata.BoolOr("tokenizer.ggml.add_space_prefix", add_space_prefix);
  RETURN_IF_ERROR(space.status());
  return Wishes{*bos, *space};
}

Result<std::unique_ptr<Tokenizer>> MakeBytePair(const format::Metadata& metadata) {
  const auto pre = metadata.StringOr("tokenizer.ggml.pre", "default");
  RETURN_IF_ERROR(pre.status());
  auto vocabulary = Vocabulary::Read(metadata, Spelling::kByteLetters);
  RETURN_IF_ERROR(vocabulary.status());
  auto pairs = BytePair::Make(metadata, *vocabulary, *pre);
  RETURN_IF_ERROR(pairs.status());
  // Older converters left the wish out for the families that have it.
  const bool add_bos =
      *pre == "llama-bpe" || *pre == "llama3" || *pre == "llama-v3" || *pre == "tekken";
  auto wishes = ReadWishes(metadata, add_bos, false);
  RETURN_IF_ERROR(wishes.status());
  wishes->add_space_prefix = false;  // byte-level pieces have their spaces in them
  return std::unique_ptr<Tokenizer>(std::make_unique<BytePairTokenizer>(
      std::move(vocabulary).value(), *wishes, std::move(pairs).value()));
}

Result<std::unique_ptr<Tokenizer>> MakeSentencePiece(const format::Metadata& metadata) {
  auto vocabulary = Vocabulary::Read(metadata, Spelling::kEscapedSpaces);
  RETURN_IF_ERROR(vocabulary.status());
  if (!metadata.Has("tokenizer.ggml.scores")) {
    return InvalidArgument("tokenizer.ggml.scores: missing, and tokenizer.ggml.model is llama");
  }
  const auto wishes = ReadWishes(metadata, true, true);
  RETURN_IF_ERROR(wishes.status());
  return std::unique_ptr<Tokenizer>(
      std::make_unique<SentencePieceTokenizer>(std::move(vocabulary).value(), *wishes));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromMetadata(const format::Metadata& metadata) {
  const auto model = metadata.String("tokenizer.ggml.model");
  RETURN_IF_ERROR(model.status());
  if (*model == "gpt2") return MakeBytePair(metadata);
  if (*model == "llama") return MakeSentencePiece(metadata);
  return InvalidArgument(fmt::format(
      "tokenizer.ggml.model: \"{}\" is not supported (known: gpt2, llama)",
      codec::SanitizeUtf8(model->substr(0, 64))));
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, bool special) const {
  Detokenizer detokenizer(*this, special);
  std::string out;
  for (const TokenId id : ids) out += detokenizer.Push(id);
  return out + detokenizer.Flush();
}

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool special)
    : tokenizer_(tokenizer), special_(special) {}

std::string Detokenizer::Push(TokenId id) {
  std::string_view bytes = tokenizer_.Bytes(id, special_);
  if (bytes.empty()) return {};
  if (at_start_ && tokenizer_.strips_leading_space() && bytes.front() == ' ') bytes.remove_prefix(1);
  at_start_ = false;
  pending_.append(bytes);
  const size_t kept = codec::IncompleteUtf8Tail(pending_);
  std::string out = codec::SanitizeUtf8(std::string_view(pending_).substr(0, pending_.size() - kept));
  pending_.erase(0, pending_.size() - kept);
  return out;
}

std::string Detokenizer::Flush() {
  std::string out = codec::SanitizeUtf8(pending_);
  pending_.clear();
  at_start_ = true;
  return out;
}

}  // namespace pelton::text
