#include "text/byte_pair.h"

#include <bitset>
#include <string>

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

// Merges with a part that is a control or user-defined token are void. Such tokens are few, and
// their first bytes tell most merges apart without a look-up.
class VoidMerges {
 public:
  explicit VoidMerges(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    for (TokenId id = 0; id < vocabulary.size(); ++id) {
      const std::string_view piece = vocabulary.piece(id);
      if (!Mergeable(vocabulary, id) && !piece.empty()) first_.set(static_cast<uint8_t>(piece[0]));
    }
  }

  // A merge that names an unknown piece is not void: the library names it.
  bool Contain(std::string_view merge) {
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos) return false;
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    if (!MayBeOutside(left) && !MayBeOutside(right)) return false;
    joined_.assign(left).append(right);
    return Outside(left) || Outside(right) || Outside(joined_);
  }

 private:
  bool MayBeOutside(std::string_view piece) const {
    return !piece.empty() && first_.test(static_cast<uint8_t>(piece[0]));
  }
  bool Outside(std::string_view piece) const {
    const TokenId id = vocabulary_.IdOf(piece);
    return id >= 0 && !Mergeable(vocabulary_, id);
  }

  const Vocabulary& vocabulary_;
  std::bitset<256> first_;
  std::string joined_;
};

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
  for (TokenId id = 0; id < vocabulary.size(); ++id) {
    if (!Mergeable(vocabulary, id)) continue;
    pieces.push_back({RustStr(vocabulary.piece(id)), static_cast<uint32_t>(id)});
  }
  std::vector<pelton_rust_str> used;
  used.reserve(merges->size());
  VoidMerges void_merges(vocabulary);
  for (const std::string_view merge : *merges) {
    if (!void_merges.Contain(merge)) used.push_back(RustStr(merge));
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
