#include "bench_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <numeric>

#include "base/clock.h"
#include "base/random.h"
#include "kv/kv_storage.h"

namespace pelton::app {
namespace {

constexpr int kWarmUpTokens = 128;  // of a prefill; touches all weights and buffers
constexpr int kWarmUpSteps = 4;
constexpr uint64_t kReadBytesMax = uint64_t{1} << 30;  // beyond it the bandwidth no longer changes

// Sequences laid out one after the other in KV storage, filled with random tokens.
class Bench {
 public:
  static Result<std::unique_ptr<Bench>> Create(LocalModel& local, int streams, int context,
                                               int chunk) {
    const int blocks_each = (context + kernels::kKvBlockTokens - 1) / kernels::kKvBlockTokens;
    auto kv = kv::KvStorage::Create(local.model->info().layers, blocks_each * streams,
                                    local.model->info().kv_block_bytes);
    if (!kv.ok()) return kv.status();
    return std::unique_ptr<Bench>(
        new Bench(local, streams, blocks_each, chunk, std::move(kv).value()));
  }

  uint64_t kv_bytes() const { return kv_.total_bytes(); }

  // Sees to it that every stream has at least `depth` tokens. One stream is computed, the others
  // get copies of its blocks, each in memory of its own: what they cost is what they would cost.
  void Fill(int depth) {
    if (depth > filled_) Prefill(filled_, depth - filled_);
    for (int stream = 1; stream < streams_ && depth > filled_; ++stream) CopyFirstStream(stream);
    filled_ = std::max(filled_, depth);
  }

  // Seconds to run `tokens` prompt tokens of the first stream from `position`, in chunks.
  double Prefill(int position, int tokens) {
    const int64_t start_ns = NowNs();
    for (int done = 0, rows = 0; done < tokens; done += rows) {
      rows = std::min({chunk_, tokens - done, local_.model->MaxRows()});
      Step({{.row_begin = 0, .rows = rows, .position = position + done, .block_table = Table(0)}},
           rows, done + rows >= tokens);
    }
    return static_cast<double>(NowNs() - start_ns) * 1e-9;
  }

  // Seconds for `tokens` tokens of every stream, all in each step.
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
  Bench(LocalModel& local, int streams, int blocks_each, int chunk, kv::KvStorage kv)
      : local_(local), streams_(streams), blocks_each_(blocks_each), chunk_(chunk),
        kv_(std::move(kv)),
        blocks_(static_cast<size_t>(streams) * static_cast<size_t>(blocks_each)), random_(1) {
    std::iota(blocks_.begin(), blocks_.end(), 0);
  }

  std::span<const int32_t> Table(int stream) const {
    return std::span(blocks_).subspan(
        static_cast<size_t>(stream) * static_cast<size_t>(blocks_each_),
        static_cast<size_t>(blocks_each_));
  }

  void CopyFirstStream(int stream) {
    const size_t bytes = static_cast<size_t>(blocks_each_) * kv_.block_bytes();
    for (int layer = 0; layer < kv_.layers(); ++layer) {
      std::byte* base = kv_.Layer(layer);
      std::memcpy(base + static_cast<size_t>(stream) * bytes, base, bytes);
    }
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
  const int chunk_;
  int filled_ = 0;
  kv::KvStorage kv_;
  std::vector<int32_t> blocks_;
  Random random_;
  std::vector<int32_t> tokens_, logit_rows_;
  std::vector<float> logits_;
};

Status MeasurePrefill(const BenchPlan& plan, LocalModel& local, uint64_t* kv_bytes,
                      std::vector<BenchRow>* rows) {
  auto bench = Bench::Create(local, 1, plan.depths.back() + plan.prompt, plan.chunk);
  if (!bench.ok()) return bench.status();
  *kv_bytes = std::max(*kv_bytes, (*bench)->kv_bytes());
  for (const int depth : plan.depths) {
    (*bench)->Fill(depth);
    (*bench)->Prefill(depth, std::min(plan.prompt, kWarmUpTokens));
    BenchRow row{
        .prefill = true, .depth = depth, .tokens = plan.prompt, .streams = 1, .tokens_per_s = {}};
    for (int i = 0; i < plan.repeats; ++i) {
      row.tokens_per_s.push_back(plan.prompt / (*bench)->Prefill(depth, plan.prompt));
    }
    rows->push_back(std::move(row));
  }
  return OkStatus();
}

Status MeasureDecode(const BenchPlan& plan, int streams, LocalModel& local, uint64_t* kv_bytes,
                     std::vector<BenchRow>* rows) {
  auto bench = Bench::Create(local, streams, plan.depths.back() + plan.generate, plan.chunk);
  if (!bench.ok()) return bench.status();
  *kv_bytes = std::max(*kv_bytes, (*bench)->kv_bytes());
  for (const int depth : plan.depths) {
    (*bench)->Fill(depth);
    (*bench)->Decode(depth, std::min(kWarmUpSteps, plan.generate));
    BenchRow row{.prefill = false, .depth = depth, .tokens = plan.generate * streams,
                 .streams = streams, .tokens_per_s = {}};
    for (int i = 0; i < plan.repeats; ++i) {
      row.tokens_per_s.push_back(row.tokens / (*bench)->Decode(depth, plan.generate));
    }
    rows->push_back(std::move(row));
  }
  return OkStatus();
}

}  // namespace

std::string BenchRow::Name() const {
  const std::string at = depth > 0 ? fmt::format(" @ {}", depth) : "";
  if (prefill) return fmt::format("prefill {}{}", tokens, at);
  return fmt::format("decode {} stream{}{}", streams, streams == 1 ? "" : "s", at);
}

double BenchRow::Median() const {
  std::vector<double> sorted = tokens_per_s;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

double BenchRow::StepSeconds() const { return streams / Median(); }

Result<std::vector<int>> ParseNumbers(std::string_view option, const std::string& text, int low,
                                      int high) {
  std::vector<int> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    int value = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + comma, value);
    if (error != std::errc() || end != text.data() + comma || value < low || value > high) {
      return InvalidArgument(fmt::format(
          "{} must be whole numbers from {} to {} with commas between", option, low, high));
    }
    out.push_back(value);
    at = comma + 1;
  }
  return out;
}

Result<std::vector<BenchRow>> RunBenchPlan(const BenchPlan& given, LocalModel& local,
                                           uint64_t* kv_bytes) {
  BenchPlan plan = given;
  std::sort(plan.depths.begin(), plan.depths.end());
  std::vector<BenchRow> rows;
  if (plan.prompt > 0) RETURN_IF_ERROR(MeasurePrefill(plan, local, kv_bytes, &rows));
  if (plan.generate > 0) {
    for (const int streams : plan.streams) {
      RETURN_IF_ERROR(MeasureDecode(plan, streams, local, kv_bytes, &rows));
    }
  }
  return rows;
}

double StepCost::KvBytes(const BenchRow& row) const {
  // The context grows while decoding: the middle.
  const double context = row.depth + row.tokens / (2.0 * row.streams);
  return row.prefill ? 0 : kv_bytes_a_token * context * row.streams;
}

StepCost CostOf(const LocalModel& local) {
  const models::ModelInfo& info = local.model->info();
  StepCost cost;
  cost.weight_bytes = info.weight_bytes;
  cost.kv_bytes_a_token = static_cast<double>(info.kv_block_bytes) * info.layers /
                          kernels::kKvBlockTokens;
  const format::Tensor* embedding = local.file->Find("token_embd.weight");
  const format::Tensor* head = local.file->Find("output.weight");
  if (head != nullptr && embedding != nullptr) {  // not tied: a step reads some rows of it only
    cost.weight_bytes -= std::min<uint64_t>(cost.weight_bytes, embedding->data.size());
  }
  const format::Tensor* multiplied = head != nullptr ? head : embedding;
  if (multiplied != nullptr) cost.head_ops = 2.0 * static_cast<double>(multiplied->elements());
  for (const format::Tensor& tensor : local.file->tensors()) {
    if (tensor.name.starts_with("blk.") && tensor.shape.size() == 2) {
      cost.layer_ops += 2.0 * static_cast<double>(tensor.elements());
    }
  }
  return cost;
}

Limits MeasureLimits(const StepCost& cost, int threads) {
  const roofline::Options options{
      .threads = threads, .seconds = 0.25, .bytes_max = kReadBytesMax, .progress = {}};
  Limits limits;
  limits.read_bytes_per_s = roofline::MeasureRead(
      static_cast<size_t>(std::min(cost.weight_bytes, kReadBytesMax)), options);
  for (const auto& speed : roofline::MeasureMultiplies(options)) {
    if (speed.threads == threads) limits.multiplies.push_back(speed);
  }
  return limits;
}

}  // namespace pelton::app
