// Every table this machine can run (and "amx" with emulated tiles) against its definition, on matrices, activations, ranges and caches of
// shapes that the input chooses. The bytes of the input are also the weights: any bit pattern of
// scale, minimum and code, NaN and infinity included.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/test_weights.h"
#include "kernels/testing/emulated_tables.h"

namespace pelton::kernels {
namespace {

using testing::AlignedBytes;

// Takes numbers from the input, zeros when it is used up; repeats the rest as weights.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  int Range(int low, int high) { return low + Byte() % (high - low + 1); }
  uint8_t Byte() { return at_ < size_ ? data_[at_++] : 0; }
  float Float() {
    const uint8_t b = Byte();
    if (b == 255) return __builtin_nanf("");
    if (b == 254) return __builtin_inff();
    return (static_cast<float>(b) - 127.f) * std::ldexp(1.f, Byte() % 40 - 20);
  }
  std::vector<float> Floats(int count) {
    std::vector<float> out(static_cast<size_t>(count));
    for (float& v : out) v = at_ < size_ ? Float() : static_cast<float>(rest_++ % 13) - 6.f;
    return out;
  }
  std::vector<std::byte> Weights(size_t bytes) {
    std::vector<std::byte> out(bytes);
    for (size_t i = 0; i < bytes; ++i) {
      out[i] = static_cast<std::byte>(size_ == 0 ? 0 : data_[(at_ + i * 7) % size_]);
    }
    return out;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
  int rest_ = 0;
};

void RequireSame(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::memcmp(&a[i], &b[i], 4) == 0) continue;
    __builtin_printf("%s: element %zu: %g and %g\n", what, i, static_cast<double>(a[i]),
                     static_cast<double>(b[i]));
    std::abort();
  }
}

std::vector<float> Product(const KernelTable& t, const PackedMatrix& w, const std::vector<float>& x,
                           int m, int begin, int end) {
  std::vector<float> y(static_cast<size_t>(m) * w.n, -7.f);
  if (t.takes_quantized(w)) {
    AlignedBytes q(static_cast<size_t>(PaddedRows(m)) * t.quantized_row_bytes(w.k));
    t.quantize_rows(x.data(), w.k, m, w.k, q.data());
    t.gemm_int(w, q.data(), m, y.data(), w.n, begin, end);
  } else {
    t.gemm_float(w, x.data(), w.k, m, y.data(), w.n, begin, end);
  }
  return y;
}

void FuzzProduct(Input& in, const KernelTable& ref, const KernelTable& table) {
  const tensor::DType type = testing::kAllTypes[in.Range(0, 12)];
  const tensor::DTypeInfo& info = tensor::InfoOf(type);
  const int n = in.Range(1, 40);
  const int k = in.Range(1, info.block_elems == 1 ? 100 : info.block_elems == 32 ? 5 : 2) *
                static_cast<int>(info.block_elems);
  const int m = in.Range(1, 19);
  const auto x = in.Floats(m * k);
  const auto rows = in.Weights(static_cast<size_t>(n) * k / info.block_elems * info.block_bytes);
  const auto owned = testing::PackAll(type, rows, n, k);
  const int begin = in.Range(0, owned.matrix.panels());
  const int end = in.Range(begin, owned.matrix.panels());
  RequireSame(Product(ref, owned.matrix, x, m, begin, end),
              Product(table, owned.matrix, x, m, begin, end), info.name.data());
}

void FuzzAttention(Input& in, const KernelTable& ref, const KernelTable& table) {
  const int kv_heads = in.Range(1, 3);
  const int heads = kv_heads * in.Range(1, 7);
  const int head_dim = in.Range(1, 72);
  const int rows = in.Range(1, 20);
  const int position = in.Range(0, 200);
  const int tokens = position + rows;
  const size_t bytes = KvBlockBytes(kv_heads, head_dim);
  const int blocks = (tokens + 15) / 16;
  AlignedBytes kv(bytes * static_cast<size_t>(blocks));
  std::memset(kv.data(), 0xff, kv.size());
  std::vector<int32_t> order;
  for (int i = 0; i < blocks; ++i) order.push_back(blocks - 1 - i);
  const auto k = in.Floats(tokens * kv_heads * head_dim);
  const auto v = in.Floats(tokens * kv_heads * head_dim);
  for (int t = 0; t < tokens; ++t) {
    table.kv_write(&k[static_cast<size_t>(t) * kv_heads * head_dim],
                   &v[static_cast<size_t>(t) * kv_heads * head_dim], kv_heads, head_dim, t % 16,
                   kv.data() + static_cast<size_t>(order[t / 16]) * bytes);
  }
  const int width = heads * head_dim;
  const auto q = in.Floats(rows * width);
  std::vector<float> truth(q.size());
  std::vector<float> mine(q.size());
  AttentionArgs args{.q = q.data(), .q_stride = width, .out = truth.data(), .out_stride = width,
                     .kv = kv.data(), .block_bytes = bytes, .block_table = order.data(),
                     .rows = rows, .position = position, .window = in.Range(0, 80), .heads = heads,
                     .kv_heads = kv_heads, .head_dim = head_dim, .kv_head_begin = 0,
                     .kv_head_end = kv_heads, .scale = 0.1f, .softcap = in.Range(0, 1) * 20.f};
  ref.attention(args);
  args.out = mine.data();
  table.attention(args);
  RequireSame(truth, mine, "attention");
}

void FuzzRows(Input& in, const KernelTable& ref, const KernelTable& table) {
  const int n = in.Range(1, 200);
  const auto x = in.Floats(n);
  const auto w = in.Floats(n);
  std::vector<float> truth(x.size());
  std::vector<float> mine(x.size());
  ref.rms_norm(x.data(), w.data(), 1e-5f, n, truth.data());
  table.rms_norm(x.data(), w.data(), 1e-5f, n, mine.data());
  RequireSame(truth, mine, "rms_norm");
  ref.silu_mul(x.data(), w.data(), n, truth.data());
  table.silu_mul(x.data(), w.data(), n, mine.data());
  RequireSame(truth, mine, "silu_mul");
  ref.gelu_tanh_mul(x.data(), w.data(), n, truth.data());
  table.gelu_tanh_mul(x.data(), w.data(), n, mine.data());
  RequireSame(truth, mine, "gelu_tanh_mul");
  float max[2];
  double sum[2];
  ref.max_sum_exp(x.data(), n, &max[0], &sum[0]);
  table.max_sum_exp(x.data(), n, &max[1], &sum[1]);
  const bool same_sum = sum[0] == sum[1] || (std::isnan(sum[0]) && std::isnan(sum[1]));
  if (max[0] != max[1] || !same_sum || ref.argmax(x.data(), n) != table.argmax(x.data(), n)) {
    __builtin_printf("reductions differ\n");
    std::abort();
  }
}

}  // namespace
}  // namespace pelton::kernels

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pelton;
  using namespace pelton::kernels;
  Input in(data, size);
  static const std::vector<const KernelTable*> tables = [] {
    std::vector<const KernelTable*> usable;
    for (const KernelTable* table : AllTables()) {
      if (table->usable(UsableCpuFeatures())) usable.push_back(table);
    }
    // By calls, without the trap: a fuzzer has signal handlers of its own.
    if (UsableCpuFeatures().avx2) {
      usable.push_back(&kernels::testing::kEmulatedAmxTable);
      usable.push_back(&kernels::testing::kEmulatedAmxInt8Table);
    }
    return usable;
  }();
  const KernelTable* table = tables[static_cast<size_t>(in.Byte()) % tables.size()];
  const KernelTable& ref = DefinitionOf(*table);
  switch (in.Range(0, 2)) {
    case 0: FuzzProduct(in, ref, *table); break;
    case 1: FuzzAttention(in, ref, *table); break;
    default: FuzzRows(in, ref, *table); break;
  }
  return 0;
}
