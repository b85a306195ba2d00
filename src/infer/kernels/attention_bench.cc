// Attention of one kv head on one thread, as `nn` cuts it into pieces, in products a second and cycles'
// worth of them. Usage: attention_bench [TABLE]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/test_weights.h"

namespace pelton::kernels {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds of one call of body, the best of many: what shares the machine only adds.
template <typename Body>
double Time(Body&& body) {
  body();
  double best = 1e9;
  for (const double start = Seconds(); Seconds() - start < 0.3;) {
    const double from = Seconds();
    body();
    best = std::min(best, Seconds() - from);
  }
  return best;
}

struct Shape {
  const char* name;
  int heads, kv_heads, head_dim;
};

void Measure(const KernelTable& table, const Shape& shape, int rows, int position) {
  const int tokens = position + rows;
  const size_t width = static_cast<size_t>(shape.kv_heads) * static_cast<size_t>(shape.head_dim);
  const size_t block_bytes = KvBlockBytes(shape.kv_heads, shape.head_dim);
  std::vector<int32_t> blocks(static_cast<size_t>(tokens / 16 + 1));
  std::iota(blocks.begin(), blocks.end(), 0);
  testing::AlignedBytes kv(block_bytes * blocks.size());
  const auto k = testing::RandomFloats(width, 1);
  for (int t = 0; t < tokens; ++t) {
    table.kv_write(k.data(), k.data(), shape.kv_heads, shape.head_dim, t % 16,
                   kv.data() + static_cast<size_t>(t / 16) * block_bytes);
  }
  const int64_t stride = static_cast<int64_t>(shape.heads) * shape.head_dim;
  const auto q = testing::RandomFloats(static_cast<size_t>(rows * stride), 2);
  std::vector<float> out(q.size());
  constexpr int kPiece = 32;  // rows
  const double seconds = Time([&] {
    for (int row = 0; row < rows; row += kPiece) {
      const int count = std::min(kPiece, rows - row);
      table.attention({.q = q.data() + row * stride, .q_stride = stride, .out = out.data() + row * stride,
                       .out_stride = stride, .kv = kv.data(), .block_bytes = block_bytes,
                       .block_table = blocks.data(), .rows = count, .position = position + row,
                       .window = 0, .heads = shape.heads, .kv_heads = shape.kv_heads,
                       .head_dim = shape.head_dim, .kv_head_begin = 0, .kv_head_end = 1,
                       .scale = 0.1F, .softcap = 0.F});
    }
  });
  const double scores = static_cast<double>(rows) * (position + (rows + 1) / 2.0) * shape.heads / shape.kv_heads;
  const double bytes = static_cast<double>(tokens) * shape.head_dim * 4;
  std::printf("%-10s %-8s %4d rows at %5d  %9.1f us  %7.1f GFLOP/s  %5.2f ns a score  %5.1f GB/s of KV\n",
              table.name.data(), shape.name, rows, position, seconds * 1e6,
              scores * shape.head_dim * 4 / seconds * 1e-9, seconds * 1e9 / scores, bytes / seconds * 1e-9);
}

}  // namespace
}  // namespace pelton::kernels

int main(int argc, char** argv) {
  using namespace pelton;
  using namespace pelton::kernels;
  const KernelTable* table = ChooseTable(UsableCpuFeatures(), argc > 1 ? argv[1] : "");
  if (table == nullptr) return 2;
  for (const Shape& shape : {Shape{"smollm2", 9, 3, 64}, Shape{"llama-1b", 32, 8, 64},
                             Shape{"llama-8b", 32, 8, 128}}) {
    Measure(*table, shape, 512, 0);
    Measure(*table, shape, 512, 7680);
    Measure(*table, shape, 1, 500);
    Measure(*table, shape, 1, 8000);
  }
  return 0;
}
