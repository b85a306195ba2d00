#include "text/sentence_piece.h"

#include <algorithm>
#include <queue>
#include <string>
#include <utility>

#include "base/assert.h"

namespace pelton::text {
namespace {

constexpr size_t kFewSymbols = 32;  // up to here a linear scan beats a heap
// A longer run without a border is cut here, which bounds the memory of merging (about 32 bytes a
// character) and changes nothing for text that anyone would write.
constexpr size_t kRunBytesMax = size_t{1} << 20;

// Length in bytes of the character at `at` in valid UTF-8.
size_t CharacterSize(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') out.append(kEscapedSpace);
    else out.push_back(c);
  }
  return out;
}

// Whether a space stands after another character.
bool HasInnerSpace(std::string_view piece) {
  size_t at = 0;
  while (piece.substr(at).starts_with(kEscapedSpace)) at += kEscapedSpace.size();
  return piece.find(kEscapedSpace, at) != std::string_view::npos;
}

}  // namespace

SentencePiece::SentencePiece(const Vocabulary& vocabulary)
    : vocabulary_(vocabulary), byte_fallback_(vocabulary.has_all_byte_tokens()) {
  std::vector<LiteralMatcher::Entry> user_defined;
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    const TokenKind kind = vocabulary.kind(id);
    if (kind == TokenKind::kUserDefined) user_defined.push_back({Escaped(vocabulary.piece(id)), id});
    if (kind == TokenKind::kNormal || kind == TokenKind::kUnused) {
      words_are_runs_ = words_are_runs_ && !HasInnerSpace(vocabulary.piece(id));
    }
  }
  user_defined_ = LiteralMatcher(std::move(user_defined));
}

void SentencePiece::Encode(std::string_view text, std::vector<TokenId>* ids) const {
  size_t at = 0;
  while (at < text.size()) {
    const LiteralMatcher::Match found = user_defined_.At(text, at);
    if (found.size > 0) {
      ids->push_back(found.id);
      at += found.size;
      continue;
    }
    const size_t end = RunEnd(text, at);
    EncodeRun(text.substr(at, end - at), ids);
    at = end;
  }
}

// Where the text beginning at `begin` may be cut without parting two characters that could merge: at
// a user-defined piece, or before a space that follows another character.
size_t SentencePiece::RunEnd(std::string_view text, size_t begin) const {
  bool after_word = false;
  size_t at = begin;
  while (at < text.size()) {
    const bool space = text.substr(at).starts_with(kEscapedSpace);
    if (at > begin) {
      if (at - begin >= kRunBytesMax || (words_are_runs_ && space && after_word)) return at;
      if (user_defined_.At(text, at).size > 0) return at;
    }
    after_word = !space;
    at += CharacterSize(text, at);
  }
  return at;
}

SentencePiece::Merged SentencePiece::Pair(std::string_view run, const Symbol& left,
                                          const Symbol& right) const {
  const size_t size = size_t{left.size} + right.size;
  if (size > vocabulary_.longest_piece_bytes()) return {};
  const TokenId id = vocabulary_.IdOf(run.substr(left.begin, size));
  if (id < 0) return {};
  const TokenKind kind = vocabulary_.kind(id);
  if (kind != TokenKind::kNormal && kind != TokenKind::kUnused) return {};
  return {id, vocabulary_.score(id)};
}

void SentencePiece::EncodeRun(std::string_view run, std::vector<TokenId>* ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(std::min(run.size(), size_t{64}));
  for (size_t at = 0; at < run.size();) {
    const size_t size = CharacterSize(run, at);
    const auto i = static_cast<int32_t>(symbols.size());  // kTextBytesMax fits
    symbols.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(size), i - 1, i + 1});
    at += size;
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;
  Halves halves;
  if (symbols.size() <= kFewSymbols) MergeFew(run, &symbols, &halves);
  else MergeMany(run, &symbols, &halves);
  for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
    const Symbol& s = symbols[static_cast<size_t>(i)];
    Emit(run.substr(s.begin, s.size), halves, ids);
  }
}

// Makes one symbol of `left` and its right neighbour.
void SentencePiece::Join(std::string_view run, std::vector<Symbol>* symbols, int32_t left,
                         TokenId id, Halves* halves) const {
  Symbol& a = (*symbols)[static_cast<size_t>(left)];
  Symbol& b = (*symbols)[static_cast<size_t>(a.next)];
  if (vocabulary_.kind(id) == TokenKind::kUnused) {
    halves->try_emplace(run.substr(a.begin, size_t{a.size} + b.size), a.size);
  }
  a.size += b.size;
  b.size = 0;
  a.next = b.next;
  if (a.next >= 0) (*symbols)[static_cast<size_t>(a.next)].previous = left;
}

void SentencePiece::MergeFew(std::string_view run, std::vector<Symbol>* symbols,
                             Halves* halves) const {
  Merged pairs[kFewSymbols];  // pairs[i]: symbol i with its right neighbour
  const auto look = [&](int32_t i) {
    const Symbol& s = (*symbols)[static_cast<size_t>(i)];
    pairs[i] = s.next < 0 ? Merged{} : Pair(run, s, (*symbols)[static_cast<size_t>(s.next)]);
  };
  for (int32_t i = 0; i < static_cast<int32_t>(symbols->size()); ++i) look(i);
  while (true) {
    int32_t best = -1;
    for (int32_t i = 0; i >= 0; i = (*symbols)[static_cast<size_t>(i)].next) {
      if (pairs[i].id >= 0 && (best < 0 || pairs[i].score > pairs[best].score)) best = i;
    }
    if (best < 0) return;
    Join(run, symbols, best, pairs[best].id, halves);
    look(best);
    if (const int32_t before = (*symbols)[static_cast<size_t>(best)].previous; before >= 0) {
      look(before);
    }
  }
}

void SentencePiece::MergeMany(std::string_view run, std::vector<Symbol>* symbols,
                              Halves* halves) const {
  struct Candidate {
    float score;
    int32_t left;
    uint32_t size;  // of both when it was found: another size now means it is stale
    TokenId id;
    bool operator<(const Candidate& other) const {
      return score != other.score ? score < other.score : left > other.left;
    }
  };
  std::priority_queue<Candidate> queue;
  const auto look = [&](int32_t i) {
    const Symbol& s = (*symbols)[static_cast<size_t>(i)];
    if (s.next < 0) return;
    const Symbol& next = (*symbols)[static_cast<size_t>(s.next)];
    const Merged pair = Pair(run, s, next);
    if (pair.id >= 0) queue.push({pair.score, i, s.size + next.size, pair.id});
  };
  for (int32_t i = 0; i < static_cast<int32_t>(symbols->size()); ++i) look(i);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    const Symbol& s = (*symbols)[static_cast<size_t>(c.left)];
    if (s.size == 0 || s.next < 0) continue;
    if (s.size + (*symbols)[static_cast<size_t>(s.next)].size != c.size) continue;
    Join(run, symbols, c.left, c.id, halves);
    look(c.left);
    if (s.previous >= 0) look(s.previous);
  }
}

void SentencePiece::Emit(std::string_view piece, const Halves& halves,
                         std::vector<TokenId>* ids) const {
  const TokenId id = vocabulary_.IdOf(piece);
  const TokenKind kind = id < 0 ? TokenKind::kUnknown : vocabulary_.kind(id);
  if (kind == TokenKind::kNormal) {
    ids->push_back(id);
    return;
  }
  if (kind == TokenKind::kUnused) {
    // An unused piece helps merging but is never given out: back to the two it was made of.
    const auto half = halves.find(piece);
    if (half == halves.end()) {
      ids->push_back(id);
      return;
    }
    Emit(piece.substr(0, half->second), halves, ids);
    Emit(piece.substr(half->second), halves, ids);
    return;
  }
  if (byte_fallback_) {
    for (const char c : piece) ids->push_back(vocabulary_.ByteToken(static_cast<uint8_t>(c)));
    return;
  }
  const TokenId unknown = vocabulary_.unknown();
  if (unknown >= 0 && (ids->empty() || ids->back() != unknown)) ids->push_back(unknown);
}

}  // namespace pelton::text
