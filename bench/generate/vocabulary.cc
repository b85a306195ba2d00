#include "generate/vocabulary.h"

#include <fmt/format.h>

namespace pelton::generate {
namespace {

constexpr int64_t kNormal = 1, kControl = 3, kUnused = 5;  // GGUF's token types
constexpr int64_t kBytes = 256;
constexpr std::string_view kControls[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
constexpr std::string_view kChatMl =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ "
    "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\n' "
    "}}{% endif %}";

std::string Utf8(uint32_t code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
}

// How byte-level BPE writes a byte: itself when it is a printable Latin-1 character, otherwise the
// next one from U+0100 on (GPT-2's table).
std::vector<std::string> ByteTokens() {
  std::vector<std::string> tokens;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < kBytes; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    tokens.push_back(Utf8(printable ? byte : next++));
  }
  return tokens;
}

}  // namespace

void Vocabulary::AddPadding(int64_t size, std::vector<std::string_view>* tokens) {
  const auto first = static_cast<int64_t>(tokens->size());
  owned_.reserve(owned_.size() + static_cast<size_t>(size - first));  // views must stay valid
  for (int64_t id = first; id < size; ++id) {
    owned_.push_back(fmt::format("[{}]", id));
    tokens->push_back(owned_.back());
  }
}

Status Vocabulary::SetBytes(int64_t size, format::GgufWriter* writer) {
  constexpr int64_t kLeast = kBytes + static_cast<int64_t>(std::size(kControls));
  if (size < kLeast) {
    return InvalidArgument(
        fmt::format("a vocabulary needs at least {} tokens, not {}", kLeast, size));
  }
  owned_ = ByteTokens();
  owned_.reserve(static_cast<size_t>(size));
  std::vector<std::string_view> tokens(owned_.begin(), owned_.end());
  std::vector<int64_t> types(tokens.size(), kNormal);
  for (const std::string_view control : kControls) {
    tokens.push_back(control);
    types.push_back(kControl);
  }
  AddPadding(size, &tokens);
  // Normal, though nothing merges into them: a random model answers with them, and every token of
  // an answer has to be seen by who counts them.
  types.resize(tokens.size(), kNormal);
  writer->Set("tokenizer.ggml.model", std::string_view("gpt2"));
  writer->Set("tokenizer.ggml.pre", std::string_view("gpt-2"));
  writer->Set("tokenizer.ggml.tokens", std::move(tokens));
  writer->Set("tokenizer.ggml.token_type", std::move(types));
  writer->Set("tokenizer.ggml.merges", std::vector<std::string_view>{});
  writer->Set("tokenizer.ggml.bos_token_id", uint64_t{kBytes});
  writer->Set("tokenizer.ggml.eos_token_id", uint64_t{kBytes + 2});
  writer->Set("tokenizer.ggml.add_bos_token", false);
  writer->Set("tokenizer.chat_template", kChatMl);
  return OkStatus();
}

Status Vocabulary::SetFrom(const format::ModelFile& from, int64_t size,
                           format::GgufWriter* writer) {
  const auto tokens = from.metadata().Strings("tokenizer.ggml.tokens");
  if (!tokens.ok()) return tokens.status().Prefixed(from.path());
  if (static_cast<int64_t>(tokens->size()) > size) {
    return InvalidArgument(fmt::format("{}: its vocabulary has {} tokens, the shape only {}",
                                       from.path(), tokens->size(), size));
  }
  for (const auto& [key, value] : from.metadata().all()) {
    if (key.starts_with("tokenizer.")) writer->Set(key, value);
  }
  std::vector<std::string_view> all(tokens->begin(), tokens->end());
  AddPadding(size, &all);
  writer->Set("tokenizer.ggml.tokens", std::move(all));
  if (const auto types = from.metadata().Ints("tokenizer.ggml.token_type"); types.ok()) {
    std::vector<int64_t> padded(types->begin(), types->end());
    padded.resize(static_cast<size_t>(size), kUnused);
    writer->Set("tokenizer.ggml.token_type", std::move(padded));
  }
  if (const auto scores = from.metadata().Floats("tokenizer.ggml.scores"); scores.ok()) {
    std::vector<double> padded(scores->begin(), scores->end());
    padded.resize(static_cast<size_t>(size), -1e9);  // never the best piece
    writer->Set("tokenizer.ggml.scores", std::move(padded));
  }
  return OkStatus();
}

}  // namespace pelton::generate
