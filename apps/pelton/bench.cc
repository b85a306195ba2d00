// `pelton bench`: tokens a second of the bare model, without HTTP: prefill, then decoding with one or
// more streams. Interleaves nothing and judges nothing; bench/peers pairs it with other engines.
#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <numeric>
#include <vector>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/random.h"
#include "commands.h"
#include "kv/kv_storage.h"
#include "local_model.h"
#include "paths.h"

namespace pelton::app {
namespace {

struct BenchOptions {
  std::string model;
  std::string state_dir;
  int prompt = 512;
  int generate = 64;
  int depth = 0;
  std::string streams = "1";
  int repeats = 3;
  int threads = 0;
  int chunk = 512;
  bool json = false;

  template <typename V>
  void Fields(V& v) {
    v.Field("model", model, {.help = "Model file.", .value_name = "FILE"});
    v.Field("state-dir", state_dir, {.help = "Where pulled models are.", .value_name = "DIR"});
    v.Field("prompt", prompt, {.help = "Tokens of the prefill measurement; 0 leaves it out.",
                               .min = 0, .max = 131072});
    v.Field("generate", generate, {.help = "Tokens each stream decodes; 0 leaves it out.", .min = 0,
                                   .max = 65536});
    v.Field("depth", depth, {.help = "Tokens already in the context when decoding starts.", .min = 0,
                             .max = 131072});
    v.Field("streams", streams, {.help = "Streams decoding at once; several runs by commas.",
                                 .value_name = "N[,N…]"});
    v.Field("repeats", repeats, {.help = "Runs of each measurement; the median is shown.", .min = 1,
                                 .max = 1000});
    v.Field("threads", threads, {.help = "Compute threads; 0: by affinity and quota.", .min = 0,
                                 .max = 1024});
    v.Field("chunk", chunk, {.help = "Rows of one prefill step.", .min = 1, .max = 8192});
    v.Field("json", json, {.help = "Print one JSON object."});
  }
};

struct Row {
  std::string name;
  int tokens = 0;   // a repeat
  int streams = 1;
  std::vector<double> tokens_per_s;

  double Median() const {
    std::vector<double> sorted = tokens_per_s;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

// Sequences laid out one after the other in KV storage, filled with random tokens.
class Bench {
 public:
  static Result<std::unique_ptr<Bench>> Create(LocalModel& local, int streams, int context) {
    const int blocks_each = (context + kernels::kKvBlockTokens - 1) / kernels::kKvBlockTokens;
    auto kv = kv::KvStorage::Create(local.model->info().layers, blocks_each * streams,
                                    local.model->info().kv_block_bytes);
    if (!kv.ok()) return kv.status();
    return std::unique_ptr<Bench>(
        new Bench(local, streams, blocks_each, std::move(kv).value()));
  }

  // Seconds to run `tokens` prompt tokens of each stream from position `position`, in chunks.
  double Prefill(int position, int tokens, int chunk) {
    const int64_t start_ns = NowNs();
    for (int stream = 0; stream < streams_; ++stream) {
      for (int done = 0, rows = 0; done < tokens; done += rows) {
        rows = std::min({chunk, tokens - done, local_.model->MaxRows()});
        Step({{.row_begin = 0, .rows = rows, .position = position + done,
               .block_table = Table(stream)}}, rows, done + rows >= tokens);
      }
    }
    return static_cast<double>(NowNs() - start_ns) * 1e-9;
  }

  double Decode(int position, int tokens) {
    const int64_t start_ns = NowNs();
    for (int i = 0; i < tokens; ++i) {
      std::vector<models::SequenceRows> rows;
      for (int stream = 0; stream < streams_; ++stream) {
        rows.push_back({.row_begin = stream, .rows = 1, .position = position + i,
                        .block_table = Table(stream)});
      }
      Step(rows, streams_, true);
    }
    return static_cast<double>(NowNs() - start_ns) * 1e-9;
  }

 private:
  Bench(LocalModel& local, int streams, int blocks_each, kv::KvStorage kv)
      : local_(local), streams_(streams), blocks_each_(blocks_each), kv_(std::move(kv)),
        blocks_(static_cast<size_t>(streams) * static_cast<size_t>(blocks_each)), random_(1) {
    std::iota(blocks_.begin(), blocks_.end(), 0);
  }

  std::span<const int32_t> Table(int stream) const {
    return std::span(blocks_).subspan(static_cast<size_t>(stream) * static_cast<size_t>(blocks_each_),
                                      static_cast<size_t>(blocks_each_));
  }

  void Step(const std::vector<models::SequenceRows>& sequences, int rows, bool want_logits) {
    const auto vocab = static_cast<uint64_t>(local_.model->info().vocab_size);
    tokens_.resize(static_cast<size_t>(rows));
    for (int32_t& token : tokens_) token = static_cast<int32_t>(random_.Below(vocab));
    logit_rows_.clear();
    if (want_logits) {
      for (const auto& s : sequences) logit_rows_.push_back(s.row_begin + s.rows - 1);
    }
    logits_.resize(logit_rows_.size() * vocab);
    const nn::Team::Turn turn(*local_.team);
    local_.model->Forward({.tokens = tokens_, .sequences = sequences, .logit_rows = logit_rows_},
                          kv_, *local_.team, logits_);
  }

  LocalModel& local_;
  const int streams_;
  const int blocks_each_;
  kv::KvStorage kv_;
  std::vector<int32_t> blocks_;
  Random random_;
  std::vector<int32_t> tokens_, logit_rows_;
  std::vector<float> logits_;
};

Result<std::vector<int>> ParseStreams(const std::string& text) {
  std::vector<int> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    int value = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + comma, value);
    if (error != std::errc() || end != text.data() + comma || value < 1 || value > 1024) {
      return InvalidArgument("--streams must be whole numbers from 1 to 1024 with commas between");
    }
    out.push_back(value);
    at = comma + 1;
  }
  return out;
}

Result<std::vector<Row>> Measure(const BenchOptions& options, LocalModel& local) {
  std::vector<Row> rows;
  auto streams = ParseStreams(options.streams);
  if (!streams.ok()) return streams.status();
  if (options.prompt > 0) {
    auto bench = Bench::Create(local, 1, options.prompt);
    if (!bench.ok()) return bench.status();
    Row row{.name = fmt::format("prefill {}", options.prompt), .tokens = options.prompt,
            .streams = 1, .tokens_per_s = {}};
    (*bench)->Prefill(0, options.prompt, options.chunk);  // warm-up
    for (int i = 0; i < options.repeats; ++i) {
      row.tokens_per_s.push_back(options.prompt /
                                 (*bench)->Prefill(0, options.prompt, options.chunk));
    }
    rows.push_back(std::move(row));
  }
  for (const int count : options.generate > 0 ? *streams : std::vector<int>()) {
    auto bench = Bench::Create(local, count, options.depth + options.generate);
    if (!bench.ok()) return bench.status();
    if (options.depth > 0) (*bench)->Prefill(0, options.depth, options.chunk);
    Row row{.name = fmt::format("decode {} stream{}{}", count, count == 1 ? "" : "s",
                                options.depth > 0 ? fmt::format(" @ {}", options.depth) : ""),
            .tokens = options.generate * count, .streams = count, .tokens_per_s = {}};
    (*bench)->Decode(options.depth, std::min(4, options.generate));  // warm-up
    for (int i = 0; i < options.repeats; ++i) {
      row.tokens_per_s.push_back(row.tokens / (*bench)->Decode(options.depth, options.generate));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void PrintTable(const LocalModel& local, const std::vector<Row>& rows) {
  const models::ModelInfo& info = local.model->info();
  fmt::print("{} {} {}, {:.1f} MB of weights, kernels {}, {} threads, loaded in {} ms\n",
             info.architecture, info.name, info.quantization,
             static_cast<double>(info.weight_bytes) / 1e6, local.table->name, local.team->size(),
             local.load_ms);
  for (const Row& row : rows) {
    const auto [low, high] = std::minmax_element(row.tokens_per_s.begin(), row.tokens_per_s.end());
    fmt::print("{:<24}{:>10.1f} tokens/s   ({:.1f} … {:.1f})\n", row.name, row.Median(), *low, *high);
  }
}

void PrintJson(const BenchOptions& options, const LocalModel& local, const std::vector<Row>& rows) {
  std::vector<std::string> items;
  for (const Row& row : rows) {
    items.push_back(fmt::format(
        R"({{"name":"{}","tokens":{},"streams":{},"tokens_per_s":{:.3f},"runs":[{:.3f}]}})", row.name,
        row.tokens, row.streams, row.Median(), fmt::join(row.tokens_per_s, ",")));
  }
  const models::ModelInfo& info = local.model->info();
  fmt::print(R"({{"engine":"pelton","version":"{}","architecture":"{}","quantization":"{}",)"
             R"("weight_bytes":{},"kernels":"{}","threads":{},"load_ms":{},"chunk":{},"results":[{}]}})"
             "\n",
             PELTON_VERSION, info.architecture, info.quantization, info.weight_bytes,
             local.table->name, local.team->size(), local.load_ms, options.chunk,
             fmt::join(items, ","));
}

Status RunBench(const BenchOptions& options) {
  auto path = ResolveModel(options.model, options.state_dir);
  if (!path.ok()) return path.status();
  auto local = LoadLocalModel(*path, options.threads);
  if (!local.ok()) return local.status();
  auto rows = Measure(options, *local);
  if (!rows.ok()) return rows.status();
  if (options.json) PrintJson(options, *local, *rows);
  else PrintTable(*local, *rows);
  return OkStatus();
}

}  // namespace

config::Command BenchCommand() {
  auto options = std::make_shared<BenchOptions>();
  return {
      .name = "bench",
      .summary = "Measure prefill and decoding of a model on this machine.",
      .arguments = "",
      .details = "pelton bench --model model.gguf --streams 1,8,32",
      .arguments_max = 0,
      .hidden = false,
      .bind = [options](config::Binder& b) { options->Fields(b); },
      .run =
          [options](std::span<const std::string>) {
            const Status status = RunBench(*options);
            if (!status.ok()) fmt::print(stderr, "pelton: {}\n", status.message());
            return status.ok() ? 0 : 1;
          },
  };
}

}  // namespace pelton::app
