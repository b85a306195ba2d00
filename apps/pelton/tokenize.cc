// `pelton tokenize`: the ids of a text, one token a line.
#include <fmt/core.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "commands.h"
#include "format/model_file.h"
#include "paths.h"
#include "text/tokenizer.h"

namespace pelton::app {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string state_dir;
  bool ids_only = false;
  bool bos = false;
  bool special = false;

  template <typename V>
  void Fields(V& v) {
    v.Field("model", model, {.help = "Model file whose vocabulary is used.", .value_name = "FILE"});
    v.Field("state-dir", state_dir, {.help = "Where pulled models are.", .value_name = "DIR"});
    v.Field("ids-only", ids_only, {.help = "Only the ids, on one line."});
    v.Field("bos", bos, {.help = "Put the begin-of-text token in front when the model has one."});
    v.Field("special", special, {.help = "Control tokens written in the text become their ids."});
  }
};

// Control characters and invalid bytes of a piece are shown as \xNN.
std::string Shown(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) out += fmt::format("\\x{:02x}", byte);
    else out += c;
  }
  return out;
}

Status Tokenize(const TokenizeOptions& options, std::span<const std::string> arguments) {
  auto path = ResolveModel(options.model, options.state_dir);
  if (!path.ok()) return path.status();
  auto file = format::ModelFile::Open(*path);
  if (!file.ok()) return file.status();
  auto tokenizer = text::Tokenizer::FromMetadata((*file)->metadata());
  if (!tokenizer.ok()) return tokenizer.status().Prefixed(*path);
  const std::string input =
      arguments.empty() ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : arguments[0];
  auto ids = (*tokenizer)->Encode(input, {.add_bos = options.bos, .parse_special = options.special});
  if (!ids.ok()) return ids.status();
  for (const text::TokenId id : *ids) {
    if (options.ids_only) fmt::print("{} ", id);
    else fmt::print("{:>8}  {}\n", id, Shown((*tokenizer)->Bytes(id, true)));
  }
  if (options.ids_only) fmt::print("\n");
  else fmt::print(stderr, "{} tokens\n", ids->size());
  return OkStatus();
}

}  // namespace

config::Command TokenizeCommand() {
  auto options = std::make_shared<TokenizeOptions>();
  return {
      .name = "tokenize",
      .summary = "Show the tokens of a text (or of standard input).",
      .arguments = "[TEXT]",
      .details = "pelton tokenize --model model.gguf \"Hello world\"",
      .arguments_max = 1,
      .hidden = false,
      .bind = [options](config::Binder& b) { options->Fields(b); },
      .run =
          [options](std::span<const std::string> arguments) {
            const Status status = Tokenize(*options, arguments);
            if (!status.ok()) fmt::print(stderr, "pelton: {}\n", status.message());
            return status.ok() ? 0 : 1;
          },
  };
}

}  // namespace pelton::app
