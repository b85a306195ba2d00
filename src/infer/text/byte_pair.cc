#include "text/byte_pair.h"

#include <fmt/format.h>

#include "text/rust_abi.h"

namespace pelton::text {
namespace {

constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";

// Whether plain text may become this token, and the token is the one of its name.
bool Mergeable(const Vocabulary& vocabulary, TokenId id) {
  const TokenKind kind = vocabulary.kind(id);
  return (kind == TokenKind::kNormal || kind == TokenKind::kUnused) &&
         !vocabulary.piece(id).empty() && vocabulary.IdOf(vocabulary.piece(id)) == id;
}

// Whether every part of "left right" is mergeable. A part that is in the file but is a control or
// user-defined token only makes the merge void; an unknown part is left for the library to name.
bool IsVoid(const Vocabulary& vocabulary, std::string_view merge, std::string* joined) {
  const size_t space = merge.find(' ');
  if (space == std::string_view::npos) return false;
  const auto outside = [&](std::string_view piece) {
    const TokenId id = vocabulary.IdOf(piece);
    return id >= 0 && !Mergeable(vocabulary, id);
  };
  joined->assign(merge.substr(0, space));
  joined->append(merge.substr(space + 1));
  return outside(merge.substr(0, space)) || outside(merge.substr(space + 1)) || outside(*joined);
}

}  // namespace

void BytePair::Free::operator()(pelton_rust_bpe* bpe) const { pelton_rust_bpe_free(bpe); }

Result<BytePair> BytePair::Make(const format::Metadata& metadata, const Vocabulary& vocabulary,
                                std::string_view pre) {
  const auto merges = metadata.Strings(kMergesKey);
  RETURN_IF_ERROR(merges.status());
  if (merges->size() > kMergesMax) {
    return InvalidArgument(fmt::format("{}: {} merges, at most {} are supported", kMergesKey,
                                       merges->size(), kMergesMax));
  }
  std::vector<pelton_rust_piece> pieces;
  pieces.reserve(static_cast<size_t>(vocabulary.size()));
  bool all_mergeable = true;
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    if (Mergeable(vocabulary, id)) {
      pieces.push_back({RustStr(vocabulary.piece(id)), static_cast<uint32_t>(id)});
    } else {
      all_mergeable = false;
    }
  }
  std::vector<pelton_rust_str> used;
  used.reserve(merges->size());
  std::string joined;
  for (const std::string_view merge : *merges) {
    if (all_mergeable || !IsVoid(vocabulary, merge, &joined)) used.push_back(RustStr(merge));
  }
  pelton_rust_bpe* bpe = nullptr;
  RustBytes error;
  RETURN_IF_ERROR(RustStatus(pelton_rust_bpe_new(pieces.data(), pieces.size(), used.data(), used.size(),
                                                 RustStr(pre), &bpe, &error.raw),
                             error));
  return BytePair(bpe);
}

Status BytePair::Encode(std::string_view text, std::vector<TokenId>* ids) const {
  RustIds out;
  RustBytes error;
  RETURN_IF_ERROR(RustStatus(
      pelton_rust_bpe_encode(bpe_.get(), RustStr(text), &out.raw, &error.raw), error));
  ids->insert(ids->end(), out.raw.data, out.raw.data + out.raw.size);
  return {};
}

}  // namespace pelton::text
