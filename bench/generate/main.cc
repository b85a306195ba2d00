// pelton-generate: a GGUF file of a published shape with random weights. It measures like the real
// model (same sizes, types and operations) and needs no download; its text is noise.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "generate/shapes.h"
#include "generate/vocabulary.h"
#include "generate/weights.h"

namespace pelton::generate {
namespace {

struct Options {
  std::string shape = "smollm2-135m";
  std::string type = "Q4_0";
  std::string tokenizer_from;
  std::string out;
  uint64_t seed = 1;
  bool help = false;
};

void PrintHelp() {
  std::string shapes;
  for (const Shape& shape : AllShapes()) shapes += fmt::format(" {}", shape.name);
  fmt::print(
      "usage: pelton-generate [--shape NAME] [--type TYPE] [--seed N] [--tokenizer-from FILE] OUT\n"
      "\nWrites a GGUF file of a published shape with random weights, for measuring.\n\n"
      "  --shape NAME           default smollm2-135m; one of{}\n"
      "  --type TYPE            default Q4_0; F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K "
      "Q4_K\n"
      "                         Q4_K_M Q5_K Q5_K_M Q6_K (the output matrix as llama.cpp's "
      "quantiser\n"
      "                         has it: Q6_K, or Q8_0 where rows are not whole blocks of 256)\n"
      "  --seed N               default 1; the same seed gives the same file\n"
      "  --tokenizer-from FILE  take vocabulary and chat template of this GGUF file; by default a\n"
      "                         vocabulary of the 256 bytes\n",
      shapes);
}

Result<Options> ParseArguments(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (!argument.starts_with("--")) {
      if (!options.out.empty())
        return InvalidArgument(fmt::format("one file at a time, not {}", argument));
      options.out = argument;
      continue;
    }
    if (i + 1 >= argc)
      return InvalidArgument(fmt::format("{} needs a value (see --help)", argument));
    const std::string_view value = argv[++i];
    if (argument == "--shape") {
      options.shape = value;
    } else if (argument == "--type") {
      options.type = value;
    } else if (argument == "--tokenizer-from") {
      options.tokenizer_from = value;
    } else if (argument == "--seed") {
      const auto [end, error] =
          std::from_chars(value.data(), value.data() + value.size(), options.seed);
      if (error != std::errc() || end != value.data() + value.size()) {
        return InvalidArgument(fmt::format("--seed is a whole number, not {}", value));
      }
    } else {
      return InvalidArgument(fmt::format("unknown option {} (see --help)", argument));
    }
  }
  if (options.out.empty()) return InvalidArgument("the file to write is missing (see --help)");
  return options;
}

// One line that grows on a terminal, one line every tenth elsewhere.
class ProgressBar {
 public:
  void Show(uint64_t done, uint64_t total) {
    constexpr int kWidth = 40;
    const int percent = total == 0 ? 100 : static_cast<int>(done * 100 / total);
    if (percent == shown_percent_ ||
        (!terminal_ && percent / 10 == shown_percent_ / 10 && percent > 0))
      return;
    shown_percent_ = percent;
    const auto filled = static_cast<size_t>(percent * kWidth / 100);
    fmt::print(stderr, "{}[{}{}] {:3} %  {} of {} MB{}", terminal_ ? "\r" : "",
               std::string(filled, '#'), std::string(kWidth - filled, '.'), percent, done >> 20,
               total >> 20, terminal_ && percent < 100 ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  int shown_percent_ = -1;
};

Status Generate(const Options& options) {
  const auto shape = FindShape(options.shape);
  if (!shape.ok()) return shape.status();
  const auto plan = PlanTensors(**shape, options.type);
  if (!plan.ok()) return plan.status();
  format::GgufWriter writer;
  SetShapeKeys(**shape, options.type, &writer);
  Vocabulary vocabulary;
  std::unique_ptr<format::ModelFile> from;
  if (options.tokenizer_from.empty()) {
    RETURN_IF_ERROR(vocabulary.SetBytes((*shape)->vocab, &writer));
  } else {
    auto opened = format::ModelFile::Open(options.tokenizer_from);
    if (!opened.ok()) return opened.status();
    from = std::move(*opened);
    RETURN_IF_ERROR(vocabulary.SetFrom(*from, (*shape)->vocab, &writer));
  }
  WeightSource weights(**shape, options.seed);
  for (const TensorPlan& tensor : *plan) {
    RETURN_IF_ERROR(
        writer.AddTensor(tensor.name, tensor.dtype, tensor.shape, weights.FillFor(tensor)));
  }
  ProgressBar bar;
  RETURN_IF_ERROR(
      writer.Write(options.out, [&](uint64_t done, uint64_t total) { bar.Show(done, total); }));
  fmt::print("{}: {} {}, {} tensors, {:.1f} MB\n", options.out, options.shape, options.type,
             plan->size(), static_cast<double>(writer.file_bytes()) / 1e6);
  return OkStatus();
}

int Main(int argc, char** argv) {
  const auto options = ParseArguments(argc, argv);
  if (options.ok() && options->help) {
    PrintHelp();
    return 0;
  }
  const Status status = options.ok() ? Generate(*options) : options.status();
  if (status.ok()) return 0;
  fmt::print(stderr, "pelton-generate: {}\n", status.message());
  return options.ok() ? 1 : 2;
}

}  // namespace
}  // namespace pelton::generate

int main(int argc, char** argv) { return pelton::generate::Main(argc, argv); }
