// Text ↔ token ids, from a model file's metadata (tokenizer.ggml.*), on the `tokenizers` library.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"

namespace pelton::text {

using TokenId = int32_t;

struct EncodeOptions {
  bool add_bos = false;        // one BOS in front when the model wants one; never a second
  bool parse_special = false;  // control tokens written in the text become their ids
};

class Tokenizer {  // immutable; thread-safe
 public:
  static Result<std::unique_ptr<Tokenizer>> FromMetadata(const format::Metadata& metadata);
  virtual ~Tokenizer() = default;

  // Text must be valid UTF-8 (INVALID_ARGUMENT otherwise); at most kTextBytesMax.
  virtual Result<std::vector<TokenId>> Encode(std::string_view text, EncodeOptions options) const = 0;
  // The bytes a token stands for in running text (may be part of a UTF-8 character); control tokens
  // give nothing unless `special`.
  virtual std::string_view Bytes(TokenId id, bool special = false) const = 0;
  // Name of a token as the file has it, for logprobs and messages.
  virtual std::string_view Piece(TokenId id) const = 0;
  // Whole text of ids; invalid UTF-8 becomes U+FFFD.
  std::string Decode(std::span<const TokenId> ids, bool special = false) const;

  virtual int vocab_size() const = 0;
  virtual TokenId bos() const = 0;                      // -1 when there is none
  virtual TokenId eos() const = 0;                      // -1 when there is none
  virtual bool add_bos() const = 0;                     // the model's own wish
  virtual std::span<const TokenId> end_ids() const = 0; // every id that ends a turn
  virtual bool IsControl(TokenId id) const = 0;
  // SentencePiece-style: the first piece of a decoded text loses one leading space.
  virtual bool strips_leading_space() const = 0;
  // The id of a piece as the file writes it, -1 when there is none.
  virtual TokenId IdOf(std::string_view piece) const = 0;
};

inline constexpr size_t kTextBytesMax = size_t{16} << 20;

// Turns a stream of tokens into a stream of valid UTF-8: bytes of a character that is not complete
// yet are held back (at most 3), bytes that can never be valid become U+FFFD.
class Detokenizer {  // owned by one thread
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, bool special = false);
  std::string Push(TokenId id);
  std::string Flush();  // what is held back, as U+FFFD when incomplete

 private:
  const Tokenizer& tokenizer_;
  const bool special_;
  bool at_start_ = true;
  std::string pending_;
};

}  // namespace pelton::text
