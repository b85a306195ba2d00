#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "base/checked.h"
#include "codec/utf8.h"

namespace pelton::text {
namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kKindsKey = "tokenizer.ggml.token_type";
constexpr std::string_view kScoresKey = "tokenizer.ggml.scores";

// Control tokens that end a turn in some published model, by name.
constexpr std::array<std::string_view, 19> kTurnEnds = {
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "</s>",
    "<|end|>", "<|end_of_text|>", "<eos>", "<|eot|>", "<|end_of_turn|>", "<|return|>", "<|call|>",
    "<|im_end>", "<end_of_utterance>", "<|end_of_sentence|>",
    "<\xef\xbd\x9c" "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", "<EOT>"};

// Control tokens that begin or shape a turn; some files type them as plain or user-defined.
constexpr std::array<std::string_view, 9> kTurnStarts = {
    "<|im_start|>", "<start_of_turn>", "<|turn>", "<|start_header_id|>",
    "<|end_header_id|>", "<|begin_of_text|>", "<|user|>", "<|assistant|>", "<|system|>"};

bool Named(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// FNV-1a with a final mix: pieces are short.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word = 0;
    __builtin_memcpy(&word, text.data() + i, 8);
    hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
    hash ^= hash >> 32;
  }
  for (; i < text.size(); ++i) {
    hash = (hash ^ static_cast<uint8_t>(text[i])) * 0x100000001b3ULL;
  }
  hash *= 0x9fb21c651e98df25ULL;
  return hash ^ (hash >> 29);
}

// The byte for each of GPT-2's letters, by code point below 0x144; -1 for other code points.
std::array<int16_t, 0x144> ByteOfLetter() {
  std::array<int16_t, 0x144> out{};
  out.fill(-1);
  size_t next = 0x100;
  for (int16_t b = 0; b < 256; ++b) {
    const bool own = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
    out[own ? static_cast<size_t>(b) : next++] = b;
  }
  return out;
}

// The text of `piece` in GPT-2's spelling; letters outside it stand for themselves.
void AppendBytesOfLetters(std::string_view piece, std::string* out) {
  static const std::array<int16_t, 0x144> kByteOfLetter = ByteOfLetter();
  for (size_t i = 0; i < piece.size();) {
    const auto lead = static_cast<uint8_t>(piece[i]);
    if (lead < 0x80 || (lead & 0xe0) == 0xc0) {  // one or two bytes: below U+0800
      const size_t length = lead < 0x80 ? 1 : 2;
      const uint32_t code =
          length == 1 ? lead
                      : (lead & 0x1fU) << 6 | (static_cast<uint8_t>(piece[i + 1]) & 0x3fU);
      if (code < kByteOfLetter.size() && kByteOfLetter[code] >= 0) {
        out->push_back(static_cast<char>(kByteOfLetter[code]));
      } else {
        out->append(piece.substr(i, length));
      }
      i += length;
      continue;
    }
    const size_t length = (lead & 0xf0) == 0xe0 ? 3 : 4;
    out->append(piece.substr(i, length));
    i += length;
  }
}

void AppendUnescaped(std::string_view piece, std::string* out) {
  size_t at = 0;
  for (size_t found = 0; (found = piece.find(kEscapedSpace, at)) != std::string_view::npos;) {
    out->append(piece.substr(at, found - at));
    out->push_back(' ');
    at = found + kEscapedSpace.size();
  }
  out->append(piece.substr(at));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<uint8_t> ByteOf(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  const int high = HexDigit(piece[3]);
  const int low = HexDigit(piece[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<uint8_t>(high * 16 + low);
}

}  // namespace

Result<Vocabulary> Vocabulary::Read(const format::Metadata& metadata, Spelling spelling) {
  Vocabulary v;
  RETURN_IF_ERROR(v.ReadPieces(metadata));
  RETURN_IF_ERROR(v.ReadKinds(metadata));
  RETURN_IF_ERROR(v.ReadScores(metadata));
  v.BuildIndex();
  RETURN_IF_ERROR(v.ReadNamedIds(metadata));
  v.PromoteControls();
  RETURN_IF_ERROR(v.SpellBytes(spelling));
  for (TokenId id = 0; id < v.size(); ++id) {
    const bool by_name = v.kind(id) == TokenKind::kControl && Named(kTurnEnds, v.piece(id));
    const bool by_key = id == v.eos_ || id == v.eot_ || id == v.eom_;
    if (by_name || by_key) v.end_ids_.push_back(id);
  }
  return v;
}

Status Vocabulary::ReadPieces(const format::Metadata& metadata) {
  const auto pieces = metadata.Strings(kTokensKey);
  RETURN_IF_ERROR(pieces.status());
  if (pieces->empty() || pieces->size() > kVocabMax) {
    return InvalidArgument(fmt::format("{}: {} tokens, 1 to {} are supported", kTokensKey,
                                       pieces->size(), kVocabMax));
  }
  size_t total = 0;
  for (size_t i = 0; i < pieces->size(); ++i) {
    const std::string_view piece = (*pieces)[i];
    if (piece.size() > kPieceBytesMax) {
      return InvalidArgument(fmt::format("{}[{}]: {} bytes, more than the {} supported", kTokensKey,
                                         i, piece.size(), kPieceBytesMax));
    }
    if (!codec::ValidUtf8(piece)) {
      return InvalidArgument(fmt::format("{}[{}]: not valid UTF-8", kTokensKey, i));
    }
    total += piece.size();  // at most 2^21 * 2^12
    longest_piece_bytes_ = std::max(longest_piece_bytes_, piece.size());
  }
  if (!CheckedCast<uint32_t>(total)) {
    return InvalidArgument(fmt::format("{}: {} bytes in all", kTokensKey, total));
  }
  pieces_.reserve(total);
  piece_ends_.reserve(pieces->size());
  for (const std::string_view piece : *pieces) {
    pieces_.append(piece);
    piece_ends_.push_back(static_cast<uint32_t>(pieces_.size()));
  }
  return {};
}

Status Vocabulary::ReadKinds(const format::Metadata& metadata) {
  const size_t count = piece_ends_.size();
  kinds_.assign(count, TokenKind::kNormal);
  if (!metadata.Has(kKindsKey)) return {};
  const auto kinds = metadata.Ints(kKindsKey);
  RETURN_IF_ERROR(kinds.status());
  if (kinds->size() != count) {
    return InvalidArgument(fmt::format("{}: {} entries for {} tokens", kKindsKey, kinds->size(), count));
  }
  for (size_t i = 0; i < count; ++i) {
    const int64_t kind = (*kinds)[i];
    if (kind < 0 || kind > 6) {
      return InvalidArgument(fmt::format("{}[{}]: {} is not a token type", kKindsKey, i, kind));
    }
    if (kind != 0) kinds_[i] = static_cast<TokenKind>(kind);
  }
  return {};
}

Status Vocabulary::ReadScores(const format::Metadata& metadata) {
  if (!metadata.Has(kScoresKey)) return {};
  const auto scores = metadata.Floats(kScoresKey);
  RETURN_IF_ERROR(scores.status());
  if (scores->size() != piece_ends_.size()) {
    return InvalidArgument(fmt::format("{}: {} entries for {} tokens", kScoresKey, scores->size(),
                                       piece_ends_.size()));
  }
  scores_.reserve(scores->size());
  for (size_t i = 0; i < scores->size(); ++i) {
    const double score = (*scores)[i];
    if (!(std::abs(score) <= std::numeric_limits<float>::max())) {  // also NaN
      return InvalidArgument(fmt::format("{}[{}]: not a finite number", kScoresKey, i));
    }
    scores_.push_back(static_cast<float>(score));
  }
  return {};
}

Status Vocabulary::ReadNamedIds(const format::Metadata& metadata) {
  const auto read = [&](std::string_view key, TokenId* out) -> Status {
    if (!metadata.Has(key)) return {};
    const auto value = metadata.Uint(key);
    RETURN_IF_ERROR(value.status());
    // Converters write 2^32 - 1 for "none".
    if (*value == std::numeric_limits<uint32_t>::max()) return {};
    if (*value >= kinds_.size()) {
      return InvalidArgument(
          fmt::format("{}: {} is not one of the {} tokens", key, *value, kinds_.size()));
    }
    *out = static_cast<TokenId>(*value);
    return {};
  };
  RETURN_IF_ERROR(read("tokenizer.ggml.bos_token_id", &bos_));
  RETURN_IF_ERROR(read("tokenizer.ggml.eos_token_id", &eos_));
  RETURN_IF_ERROR(read("tokenizer.ggml.eot_token_id", &eot_));
  RETURN_IF_ERROR(read("tokenizer.ggml.eom_token_id", &eom_));
  return read("tokenizer.ggml.unknown_token_id", &unknown_);
}

// Files exist that give <|im_end|> or <end_of_turn> another type than control; as text of a user
// such a token would end a turn. Names that are also HTML (Gemma's <s> and </s> are strike-through)
// count only where a key of the file points at them.
void Vocabulary::PromoteControls() {
  for (TokenId id = 0; id < size(); ++id) {
    TokenKind& kind = kinds_[static_cast<size_t>(id)];
    if (kind != TokenKind::kNormal && kind != TokenKind::kUserDefined) continue;
    const std::string_view name = piece(id);
    if (name.size() < 3 || name.front() != '<' || name.back() != '>') continue;
    const bool by_key = id == bos_ || id == eos_ || id == eot_ || id == eom_ || id == unknown_;
    const bool distinct = name.starts_with("<|") || name.ends_with("|>") || name.ends_with("_of_turn>");
    const bool by_name = distinct && (Named(kTurnEnds, name) || Named(kTurnStarts, name));
    if (by_key || by_name) kind = TokenKind::kControl;
  }
}

Status Vocabulary::SpellBytes(Spelling spelling) {
  bytes_.reserve(pieces_.size());
  byte_ends_.reserve(piece_ends_.size());
  for (TokenId id = 0; id < size(); ++id) {
    switch (kind(id)) {
      case TokenKind::kByte:
        RETURN_IF_ERROR(AddByteToken(id));
        break;
      case TokenKind::kControl:
      case TokenKind::kUnknown:
        bytes_.append(piece(id));
        break;
      case TokenKind::kUserDefined:
        if (spelling == Spelling::kEscapedSpaces) AppendUnescaped(piece(id), &bytes_);
        else bytes_.append(piece(id));
        break;
      case TokenKind::kNormal:
      case TokenKind::kUnused:
        if (spelling == Spelling::kEscapedSpaces) AppendUnescaped(piece(id), &bytes_);
        else AppendBytesOfLetters(piece(id), &bytes_);
        break;
    }
    byte_ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  return {};
}

Status Vocabulary::AddByteToken(TokenId id) {
  const std::optional<uint8_t> byte = ByteOf(piece(id));
  if (!byte) {
    return InvalidArgument(fmt::format("{}[{}]: a byte token must be <0xNN>", kTokensKey, id));
  }
  if (byte_tokens_[*byte] >= 0) {
    return InvalidArgument(fmt::format("{}[{}]: a second token for byte 0x{:02X}, after [{}]",
                                       kTokensKey, id, *byte, byte_tokens_[*byte]));
  }
  byte_tokens_[*byte] = id;
  bytes_.push_back(static_cast<char>(*byte));
  return {};
}

void Vocabulary::BuildIndex() {
  index_.assign(std::bit_ceil(kinds_.size() * 2), -1);
  const size_t mask = index_.size() - 1;
  for (TokenId id = 0; id < size(); ++id) {
    size_t slot = HashOf(piece(id)) & mask;
    while (index_[slot] >= 0 && piece(index_[slot]) != piece(id)) slot = (slot + 1) & mask;
    if (index_[slot] < 0) index_[slot] = id;
  }
}

TokenId Vocabulary::IdOf(std::string_view piece_text) const {
  const size_t mask = index_.size() - 1;
  size_t slot = HashOf(piece_text) & mask;
  while (index_[slot] >= 0) {
    if (piece(index_[slot]) == piece_text) return index_[slot];
    slot = (slot + 1) & mask;
  }
  return -1;
}

bool Vocabulary::has_all_byte_tokens() const {
  return std::all_of(byte_tokens_.begin(), byte_tokens_.end(), [](TokenId id) { return id >= 0; });
}

}  // namespace pelton::text
