// Byte-level BPE on the `tokenizers` library.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "format/model_file.h"
#include "text/vocabulary.h"

struct pelton_rust_bpe;

namespace pelton::text {

class BytePair {  // immutable; thread-safe
 public:
  // `pre` is tokenizer.ggml.pre. Control and user-defined tokens stay outside: no merge of plain
  // text can ever give one.
  static Result<BytePair> Make(const format::Metadata& metadata, const Vocabulary& vocabulary,
                               std::string_view pre);

  // Appends the ids of valid UTF-8 text.
  Status Encode(std::string_view text, std::vector<TokenId>* ids) const;

 private:
  struct Free {
    void operator()(pelton_rust_bpe* bpe) const;
  };
  explicit BytePair(pelton_rust_bpe* bpe) : bpe_(bpe) {}

  std::unique_ptr<pelton_rust_bpe, Free> bpe_;
};

}  // namespace pelton::text
