// The tokenizer keys of a generated file: another file's, or a plain one of bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "format/gguf_writer.h"
#include "format/model_file.h"

namespace pelton::generate {

// Owns the strings that the writer's metadata points to: keep it until the file is written.
class Vocabulary {
 public:
  // Byte-level BPE of the 256 bytes and three control tokens, ChatML template, padded with
  // normal tokens that no text has up to `size`. INVALID_ARGUMENT when size is below 259.
  Status SetBytes(int64_t size, format::GgufWriter* writer);
  // Every tokenizer.* key of `from`, padded to `size` in the same way; INVALID_ARGUMENT when it has
  // more tokens than that. `from` must live as long as this object.
  Status SetFrom(const format::ModelFile& from, int64_t size, format::GgufWriter* writer);

 private:
  void AddPadding(int64_t size, std::vector<std::string_view>* tokens);

  std::vector<std::string> owned_;
};

}  // namespace pelton::generate
