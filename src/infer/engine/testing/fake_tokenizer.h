// A tokenizer for tests: ids 0…255 are the bytes, then the control tokens, then the pieces given.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace pelton::engine::testing {

class FakeTokenizer final : public text::Tokenizer {
 public:
  static constexpr text::TokenId kBos = 256, kEos = 257, kEndOfTurn = 258, kFirstPiece = 259;

  explicit FakeTokenizer(std::vector<std::string> pieces = {}) {
    for (int byte = 0; byte < 256; ++byte) bytes_.push_back(std::string(1, static_cast<char>(byte)));
    for (const char* name : {"<bos>", "<eos>", "<end>"}) bytes_.push_back(name);
    for (std::string& piece : pieces) bytes_.push_back(std::move(piece));
  }

  // One id a byte.
  Result<std::vector<text::TokenId>> Encode(std::string_view text,
                                            text::EncodeOptions) const override {
    std::vector<text::TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string_view Bytes(text::TokenId id, bool special) const override {
    if (id < 0 || id >= vocab_size() || (IsControl(id) && !special)) return {};
    return bytes_[static_cast<size_t>(id)];
  }
  std::string_view Piece(text::TokenId id) const override { return Bytes(id, true); }
  int vocab_size() const override { return static_cast<int>(bytes_.size()); }
  text::TokenId bos() const override { return kBos; }
  text::TokenId eos() const override { return kEos; }
  bool add_bos() const override { return false; }
  std::span<const text::TokenId> end_ids() const override { return end_ids_; }
  bool IsControl(text::TokenId id) const override { return id >= kBos && id <= kEndOfTurn; }
  bool strips_leading_space() const override { return false; }
  text::TokenId IdOf(std::string_view piece) const override {
    for (size_t i = 0; i < bytes_.size(); ++i) {
      if (bytes_[i] == piece) return static_cast<text::TokenId>(i);
    }
    return -1;
  }

 private:
  std::vector<std::string> bytes_;
  const std::vector<text::TokenId> end_ids_ = {kEos, kEndOfTurn};
};

}  // namespace pelton::engine::testing
