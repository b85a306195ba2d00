// One thread, one matrix product at a time: bytes a second beside the read bandwidth measured in the
// same run, and products a second beside the multiplier's peak. Usage: gemm_bench [TABLE [TYPE]]
//   DRAM: 256 matrices of 4 MiB in turn; L2: one matrix of 256 KiB.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/packed.h"
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
  std::vector<double> seconds;
  for (const double start = Seconds(); Seconds() - start < 0.3 || seconds.size() < 5;) {
    const double from = Seconds();
    body();
    seconds.push_back(Seconds() - from);
  }
  return *std::min_element(seconds.begin(), seconds.end());
}

double ReadBandwidth(const std::vector<uint64_t>& data) {
  volatile uint64_t sink = 0;
  const double seconds = Time([&] {
    uint64_t sum[8] = {};
    for (size_t i = 0; i + 8 <= data.size(); i += 8) {
      for (size_t j = 0; j < 8; ++j) sum[j] += data[i + j];
    }
    for (const uint64_t s : sum) sink = sink + s;
  });
  return static_cast<double>(data.size() * 8) / seconds;
}

void Row(const KernelTable& table, tensor::DType type, int n, int k, int m, int copies) {
  const auto rows = testing::RandomRows(type, n, k, 1);
  std::vector<testing::OwnedMatrix> matrices;
  for (int i = 0; i < copies; ++i) matrices.push_back(testing::PackAll(type, rows, n, k));
  const auto x = testing::RandomFloats(static_cast<size_t>(m) * k, 2);
  std::vector<float> y(static_cast<size_t>(m) * n);
  testing::AlignedBytes q(static_cast<size_t>(PaddedRows(m)) * table.quantized_row_bytes(k));
  table.quantize_rows(x.data(), k, m, k, q.data());
  const double seconds = Time([&] {
    for (const auto& owned : matrices) {
      if (table.takes_quantized(owned.matrix)) {
        table.gemm_int(owned.matrix, q.data(), m, y.data(), n, 0, owned.matrix.panels());
      } else {
        table.gemm_float(owned.matrix, x.data(), k, m, y.data(), n, 0, owned.matrix.panels());
      }
    }
  }) / copies;
  const double bytes = static_cast<double>(PackedBytes(matrices[0].matrix));
  std::printf("%-12s %-5s n %5d k %5d m %3d %7.1f MiB  %8.1f us  %6.1f GB/s  %7.1f G products/s\n",
              table.name.data(), tensor::InfoOf(type).name.data(), n, k, m, bytes * copies / 1048576,
              seconds * 1e6, bytes / seconds * 1e-9,
              static_cast<double>(n) * k * m / seconds * 1e-9);
}

}  // namespace
}  // namespace pelton::kernels

int main(int argc, char** argv) {
  using namespace pelton;
  using namespace pelton::kernels;
  const KernelTable* table = ChooseTable(UsableCpuFeatures(), argc > 1 ? argv[1] : "");
  if (table == nullptr) return 2;
  std::printf("read, 1 thread: %.1f GB/s over 1 GiB, %.1f over 16 MiB, %.1f over 512 KiB\n",
              ReadBandwidth(std::vector<uint64_t>(size_t{128} << 20)) * 1e-9,
              ReadBandwidth(std::vector<uint64_t>(size_t{2} << 20)) * 1e-9,
              ReadBandwidth(std::vector<uint64_t>(size_t{64} << 10)) * 1e-9);
  for (const tensor::DType type : {tensor::DType::kQ4_0, tensor::DType::kQ4_1,
                                   tensor::DType::kQ8_0, tensor::DType::kQ6_K,
                                   tensor::DType::kF16}) {
    if (argc > 2 && tensor::InfoOf(type).name != argv[2]) continue;
    for (const int m : {1, 2, 32}) Row(*table, type, 4096, 1536, m, 256);
    for (const int m : {1, 2, 4, 8, 32, 64, 512}) Row(*table, type, 576, 768, m, 1);
    Row(*table, type, 576, 1536, 512, 1);
  }
  return 0;
}
