// `pelton perplexity`: how well a model predicts a text, and with a reference file how close its
// distributions are to those of the reference (tests/golden/README.md has the format).
#include <fmt/core.h>

#include <cstdio>
#include <memory>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "commands.h"
#include "local_model.h"
#include "models/evaluate.h"
#include "paths.h"
#include "text/tokenizer.h"

namespace pelton::app {
namespace {

struct PerplexityOptions {
  std::string model;
  std::string state_dir;
  std::string file;
  std::string kl_reference;
  int window = 1024;
  int chunk = 64;
  int threads = 0;
  bool json = false;

  template <typename V>
  void Fields(V& v) {
    v.Field("model", model, {.help = "Model file, or the name of a pulled model.", .value_name = "FILE"});
    v.Field("state-dir", state_dir, {.help = "Where pulled models are.", .value_name = "DIR"});
    v.Field("file", file, {.help = "Text to predict, UTF-8.", .value_name = "FILE"});
    v.Field("kl-reference", kl_reference,
            {.help = "Reference distributions to compare with. They bring their tokens: without --file "
                     "all of them are used, with it the document that is this text.",
             .value_name = "FILE"});
    v.Field("window", window,
            {.help = "Tokens of the text taken as one sequence.", .min = 2, .max = 1 << 20});
    v.Field("chunk", chunk, {.help = "Tokens of a step.", .min = 1, .max = 512});
    v.Field("threads", threads, {.help = "Threads; 0: as many as this process may use.", .min = 0,
                                 .max = 1024});
    v.Field("json", json, {.help = "Print JSON."});
  }
};

Result<std::string> ReadText(const std::string& path) {
  auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  if (file->bytes().size() > text::kTextBytesMax) {
    return InvalidArgument(fmt::format("{} has {} bytes; at most {} are read", path,
                                       file->bytes().size(), text::kTextBytesMax));
  }
  return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
}

// The tokens of --file, without BOS; and in `bos` what the model wants in front, if anything.
Result<std::vector<int32_t>> TokensOfText(const PerplexityOptions& options, const LocalModel& local,
                                          std::vector<int32_t>& bos) {
  auto tokenizer = text::Tokenizer::FromMetadata(local.file->metadata());
  if (!tokenizer.ok()) return tokenizer.status().Prefixed(options.model);
  if ((*tokenizer)->add_bos()) bos.push_back((*tokenizer)->bos());
  auto input = ReadText(options.file);
  if (!input.ok()) return input.status();
  auto ids = (*tokenizer)->Encode(*input, {});
  if (!ids.ok()) return ids.status().Prefixed(options.file);
  return std::vector<int32_t>(ids->begin(), ids->end());
}

// The text in windows of `window` tokens, each from an empty cache and with BOS in front when the
// model wants one.
Result<models::Fidelity> OverText(const PerplexityOptions& options, const LocalModel& local) {
  std::vector<int32_t> bos;
  auto ids = TokensOfText(options, local, bos);
  if (!ids.ok()) return ids.status();
  models::Fidelity out;
  const auto window = static_cast<size_t>(options.window);
  for (size_t at = 0; at < ids->size();) {
    std::vector<int32_t> sequence = bos;
    while (sequence.size() < window && at < ids->size()) sequence.push_back((*ids)[at++]);
    RETURN_IF_ERROR(models::Evaluate(*local.model, *local.team, *local.table, sequence, nullptr,
                                     nullptr, options.chunk, out));
  }
  return out;
}

Result<models::Fidelity> OverReference(const PerplexityOptions& options, const LocalModel& local) {
  auto file = MappedFile::Open(options.kl_reference);
  if (!file.ok()) return file.status();
  auto reference = models::ReadKlReference(file->bytes());
  if (!reference.ok()) return reference.status().Prefixed(options.kl_reference);
  std::vector<int32_t> wanted;
  if (!options.file.empty()) {
    auto ids = TokensOfText(options, local, wanted);
    if (!ids.ok()) return ids.status();
    wanted.insert(wanted.end(), ids->begin(), ids->end());
  }
  models::Fidelity out;
  for (const models::ReferenceDocument& document : reference->documents) {
    if (!options.file.empty() && document.ids != wanted) continue;
    RETURN_IF_ERROR(models::Evaluate(*local.model, *local.team, *local.table, document.ids,
                                     &*reference, &document, options.chunk, out));
  }
  if (out.positions == 0) {
    return InvalidArgument(fmt::format("{} has no document with the tokens of {}",
                                       options.kl_reference, options.file));
  }
  return out;
}

void Print(const PerplexityOptions& options, const LocalModel& local, const models::Fidelity& got) {
  const bool reference = !options.kl_reference.empty();
  const std::string_view kernels = local.table->name;
  if (options.json) {
    fmt::print(R"({{"kernels":"{}","positions":{},"perplexity":{:.6f})", kernels, got.positions,
               got.perplexity());
    if (reference) {
      fmt::print(R"(,"reference_perplexity":{:.6f},"mean_kl":{:.8f},"same_first":{:.6f})",
                 got.reference_perplexity(), got.mean_kl(), got.same_first_share());
    }
    fmt::print("}}\n");
    return;
  }
  fmt::print("{} positions, kernels {}, {} threads\n", got.positions, kernels, local.team->size());
  fmt::print("perplexity        {:.4f}\n", got.perplexity());
  if (!reference) return;
  fmt::print("  of reference    {:.4f} ({:+.3f} %)\n", got.reference_perplexity(),
             100 * (got.perplexity() / got.reference_perplexity() - 1));
  fmt::print("mean KL           {:.6f}\n", got.mean_kl());
  fmt::print("same first token  {:.2f} %\n", 100 * got.same_first_share());
}

Status RunPerplexity(const PerplexityOptions& options) {
  if (options.file.empty() && options.kl_reference.empty()) {
    return InvalidArgument("give --file, --kl-reference or both");
  }
  auto path = ResolveModel(options.model, options.state_dir);
  if (!path.ok()) return path.status();
  auto local = LoadLocalModel(*path, options.threads);
  if (!local.ok()) return local.status();
  auto got = options.kl_reference.empty() ? OverText(options, *local)
                                          : OverReference(options, *local);
  if (!got.ok()) return got.status();
  if (got->positions == 0) return InvalidArgument("the text is too short to predict anything");
  Print(options, *local, *got);
  return OkStatus();
}

}  // namespace

config::Command PerplexityCommand() {
  auto options = std::make_shared<PerplexityOptions>();
  return {
      .name = "perplexity",
      .summary = "Measure how well a model predicts a text, or how close it is to a reference.",
      .arguments = "",
      .details = "pelton perplexity --model model.gguf --file text.txt\n"
                 "pelton perplexity --model model.gguf --kl-reference tests/golden/logits.smollm2.bin",
      .arguments_max = 0,
      .hidden = false,
      .bind = [options](config::Binder& b) { options->Fields(b); },
      .run =
          [options](std::span<const std::string>) {
            const Status status = RunPerplexity(*options);
            if (!status.ok()) fmt::print(stderr, "pelton: {}\n", status.message());
            return status.ok() ? 0 : 1;
          },
  };
}

}  // namespace pelton::app
