// The checked vocabulary of a model file: what every tokenizer of this room starts from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"
#include "text/tokenizer.h"

namespace pelton::text {

inline constexpr size_t kVocabMax = size_t{1} << 21;  // tokens of a model
inline constexpr size_t kPieceBytesMax = 4096;        // of one token's text
inline constexpr size_t kMergesMax = size_t{1} << 22;

// U+2581, how SentencePiece writes a space.
inline constexpr std::string_view kEscapedSpace = "\xe2\x96\x81";

// How the pieces spell text.
enum class Spelling : uint8_t {
  kByteLetters,   // GPT-2's letter for each byte
  kEscapedSpaces  // SentencePiece: U+2581 for a space, <0xNN> for a byte
};

// tokenizer.ggml.token_type; 0 (undefined) is read as normal.
enum class TokenKind : uint8_t {
  kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6
};

class Vocabulary {  // immutable after Read; thread-safe
 public:
  // Every array must have one length, every id be in range, every piece valid UTF-8 of at most
  // kPieceBytesMax, every score finite, every byte token exactly <0xNN>; INVALID_ARGUMENT names the
  // key otherwise. Copies what it keeps.
  static Result<Vocabulary> Read(const format::Metadata& metadata, Spelling spelling);

  int size() const { return static_cast<int>(kinds_.size()); }
  bool Contains(TokenId id) const { return id >= 0 && id < size(); }
  // The following three need Contains(id).
  TokenKind kind(TokenId id) const { return kinds_[static_cast<size_t>(id)]; }
  std::string_view piece(TokenId id) const { return Slice(pieces_, piece_ends_, id); }
  // What the token stands for in running text, control tokens included.
  std::string_view bytes(TokenId id) const { return Slice(bytes_, byte_ends_, id); }
  float score(TokenId id) const { return scores_.empty() ? 0.0F : scores_[static_cast<size_t>(id)]; }
  size_t longest_piece_bytes() const { return longest_piece_bytes_; }

  TokenId IdOf(std::string_view piece) const;  // the first of that text, or -1
  TokenId ByteToken(uint8_t byte) const { return byte_tokens_[byte]; }  // or -1
  bool has_all_byte_tokens() const;

  TokenId bos() const { return bos_; }
  TokenId eos() const { return eos_; }
  TokenId unknown() const { return unknown_; }
  const std::vector<TokenId>& end_ids() const { return end_ids_; }  // ascending

 private:
  Status ReadPieces(const format::Metadata& metadata);
  Status ReadKinds(const format::Metadata& metadata);
  Status ReadScores(const format::Metadata& metadata);
  Status ReadNamedIds(const format::Metadata& metadata);
  Status SpellBytes(Spelling spelling);
  Status AddByteToken(TokenId id);
  void BuildIndex();
  void PromoteControls();

  static std::string_view Slice(const std::string& all, const std::vector<uint32_t>& ends,
                                TokenId id) {
    const auto i = static_cast<size_t>(id);
    const uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(all).substr(begin, ends[i] - begin);
  }

  std::string pieces_, bytes_;  // all texts, one after the other
  std::vector<uint32_t> piece_ends_, byte_ends_;
  std::vector<TokenKind> kinds_;
  std::vector<float> scores_;     // empty when the file has none
  std::vector<TokenId> index_;    // open addressing, power of two, -1 is free
  std::vector<TokenId> byte_tokens_ = std::vector<TokenId>(256, -1);
  std::vector<TokenId> end_ids_;
  size_t longest_piece_bytes_ = 0;
  TokenId bos_ = -1, eos_ = -1, unknown_ = -1, eot_ = -1, eom_ = -1;
};

}  // namespace pelton::text
