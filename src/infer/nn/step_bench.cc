// The matrix products and attention of one step of a Llama-shaped model with random Q4_1 weights, by
// the worker team: an upper limit for tokens a second. Usage: step_bench [THREADS [TABLE]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/cpu.h"
#include "base/thread.h"
#include "kernels/test_weights.h"
#include "nn/linear.h"
#include "nn/ops.h"
#include "nn/team.h"

namespace pelton::nn {
namespace {

struct Shape {
  int layers = 30, width = 576, heads = 9, kv_heads = 3, head_dim = 64, hidden = 1536;
  int vocab = 49152;
};

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Layer {
  Linear q, k, v, o, gate, up, down;
};

class Bench {
 public:
  Bench(const kernels::KernelTable& table, Team& team, int rows_max)
      : table_(table), team_(team), rows_max_(rows_max) {
    const int kv_width = shape_.kv_heads * shape_.head_dim;
    const auto add = [&](Linear* linear, int outputs, int inputs) {
      *linear = Linear::Plan(tensor::DType::kQ4_1, outputs, inputs);
      bytes_ += WeightArena::Rounded(linear->PackedBytes());
      all_.push_back(linear);
    };
    layers_.resize(static_cast<size_t>(shape_.layers));
    for (Layer& layer : layers_) {
      add(&layer.q, shape_.width, shape_.width);
      add(&layer.k, kv_width, shape_.width);
      add(&layer.v, kv_width, shape_.width);
      add(&layer.o, shape_.width, shape_.width);
      add(&layer.gate, shape_.hidden, shape_.width);
      add(&layer.up, shape_.hidden, shape_.width);
      add(&layer.down, shape_.width, shape_.hidden);
    }
    add(&head_, shape_.vocab, shape_.width);
    arena_ = std::move(*WeightArena::Create(bytes_));
    for (Linear* linear : all_) {
      const auto rows = kernels::testing::RandomRows(tensor::DType::kQ4_1, linear->outputs(),
                                                     linear->inputs(), 1);
      linear->Pack(tensor::DType::kQ4_1, rows.data(), arena_.Take(linear->PackedBytes()), team_, {});
    }
    activations_ = std::move(*Activations::Create(table, rows_max, shape_.hidden));
    const size_t size = static_cast<size_t>(rows_max) * static_cast<size_t>(shape_.hidden);
    x_ = kernels::testing::RandomFloats(size, 1);
    a_ = b_ = c_ = x_;
    logits_.resize(static_cast<size_t>(shape_.vocab));
    kv_layer_ = {.base = nullptr,
                 .block_bytes = kernels::KvBlockBytes(shape_.kv_heads, shape_.head_dim),
                 .kv_heads = shape_.kv_heads,
                 .head_dim = shape_.head_dim};
    kv_ = std::move(*HugeBuffer::Allocate(kv_layer_.block_bytes * kBlocks * layers_.size()));
    for (int i = 0; i < kBlocks; ++i) table_of_blocks_.push_back(i);
  }

  uint64_t bytes() const { return bytes_; }

  void Step(int rows, int position) {
    const int kv_width = shape_.kv_heads * shape_.head_dim;
    const RowSpan span{0, rows, position, table_of_blocks_.data()};
    for (size_t i = 0; i < layers_.size(); ++i) {
      Layer& layer = layers_[i];
      RmsNormRows(table_, team_, x_.data(), shape_.width, weight_.data(), 1e-5f, rows, shape_.width,
                  a_.data(), shape_.width);
      activations_.Load(team_, a_.data(), shape_.width, rows, shape_.width);
      float* k = c_.data();
      float* v = c_.data() + static_cast<size_t>(rows) * static_cast<size_t>(kv_width);
      const Product qkv[] = {{&layer.q, b_.data(), shape_.width}, {&layer.k, k, kv_width},
                             {&layer.v, v, kv_width}};
      Multiply(team_, activations_, qkv);
      KvLayer kv = kv_layer_;
      kv.base = kv_.data() + i * kBlocks * kv.block_bytes;
      WriteKvRows(table_, team_, {&span, 1}, k, v, kv_width, kv);
      AttentionRows(table_, team_, attention_scratch_, {&span, 1}, {.heads = shape_.heads, .scale = 0.125f}, b_.data(),
                    shape_.width, kv, a_.data(), shape_.width);
      activations_.Load(team_, a_.data(), shape_.width, rows, shape_.width);
      const Product out{&layer.o, b_.data(), shape_.width};
      Multiply(team_, activations_, {&out, 1});
      activations_.Load(team_, b_.data(), shape_.width, rows, shape_.width);
      const Product gate_up[] = {{&layer.gate, a_.data(), shape_.hidden},
                                 {&layer.up, c_.data(), shape_.hidden}};
      Multiply(team_, activations_, gate_up);
      GateRows(table_, team_, Gate::kSilu, a_.data(), c_.data(), shape_.hidden, rows, shape_.hidden,
               a_.data(), shape_.hidden);
      activations_.Load(team_, a_.data(), shape_.hidden, rows, shape_.hidden);
      const Product down{&layer.down, b_.data(), shape_.width};
      Multiply(team_, activations_, {&down, 1});
    }
    activations_.Load(team_, x_.data(), shape_.width, 1, shape_.width);
    const Product head{&head_, logits_.data(), shape_.vocab};
    Multiply(team_, activations_, {&head, 1});
  }

  void Report(int rows, int position) {
    std::vector<double> seconds;
    Step(rows, position);
    for (const double start = Seconds(); Seconds() - start < 1.0 || seconds.size() < 5;) {
      const double from = Seconds();
      Step(rows, position);
      seconds.push_back(Seconds() - from);
    }
    std::sort(seconds.begin(), seconds.end());
    const double best = seconds.front();
    std::printf("%4d rows at %5d: best %8.2f ms, median %8.2f  %8.1f tokens/s  %6.1f GB/s\n", rows,
                position, best * 1e3, seconds[seconds.size() / 2] * 1e3, rows / best,
                static_cast<double>(bytes_) / best * 1e-9);
  }

  // Microseconds of an empty parallel region.
  double Region() {
    const int kRegions = 20000;
    const double from = Seconds();
    for (int i = 0; i < kRegions; ++i) team_.ParallelFor(12, 1, [](int64_t, int64_t, int) {});
    return (Seconds() - from) / kRegions * 1e6;
  }

 private:
  static constexpr int kBlocks = 160;
  Shape shape_;
  const kernels::KernelTable& table_;
  Team& team_;
  int rows_max_;
  uint64_t bytes_ = 0;
  std::vector<Layer> layers_;
  Linear head_;
  std::vector<Linear*> all_;
  WeightArena arena_;
  Activations activations_;
  AttentionScratch attention_scratch_;
  HugeBuffer kv_;
  KvLayer kv_layer_;
  std::vector<int32_t> table_of_blocks_;
  std::vector<float> x_, a_, b_, c_, logits_;
  std::vector<float> weight_ = std::vector<float>(4096, 1.f);
};

}  // namespace
}  // namespace pelton::nn

int main(int argc, char** argv) {
  using namespace pelton;
  const int threads = argc > 1 ? std::atoi(argv[1]) : ComputeThreadBudget();
  const auto* table = kernels::ChooseTable(UsableCpuFeatures(), argc > 2 ? argv[2] : "");
  if (table == nullptr || threads < 1) return 2;
  nn::Team team({.threads = threads});
  nn::Team::Turn turn(team);
  nn::Bench bench(*table, team, 512);
  std::printf("%s, %d threads, %.1f MB of weights, empty region %.2f us\n", table->name.data(),
              threads, static_cast<double>(bench.bytes()) * 1e-6, bench.Region());
  bench.Report(1, 10);
  bench.Report(1, 1000);
  bench.Report(8, 10);
  bench.Report(128, 0);
  bench.Report(512, 0);
  return 0;
}
