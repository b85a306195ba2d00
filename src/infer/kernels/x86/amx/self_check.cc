#include "kernels/x86/amx/self_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "base/log.h"
#include "kernels/packed.h"
#include "tensor/dtype.h"

namespace pelton::kernels {
namespace {

constexpr int kOutputs = 43;  // a pair of panels and one that is not whole
constexpr int kRows = 67;     // three row blocks, the last of them repeating rows
constexpr int kCompared[] = {0, 20, 66};  // rows; scalar products are slow: 3 ms of every start

struct Memory {  // 64-byte-aligned
  explicit Memory(size_t bytes) : lines((bytes + 63) / 64) {}
  std::byte* data() { return lines.data()->bytes; }
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> lines;
};

uint32_t Next(uint32_t& state) { return state = state * 1664525U + 1013904223U; }
// In (-1, 1), with a few hundred times smaller ones among them.
float Number(uint32_t& state) {
  const float unit = static_cast<float>(static_cast<int32_t>(Next(state))) * 0x1p-31F;
  return (Next(state) >> 28) == 0 ? unit / 512 : unit;
}

struct Case {
  PackedMatrix w;
  Memory weights;
  std::vector<float> x;
};

Case MakeCase(tensor::DType type, int k, uint32_t& state) {
  const tensor::DTypeInfo& info = tensor::InfoOf(type);
  std::vector<std::byte> rows(static_cast<size_t>(kOutputs) * k / info.block_elems *
                              info.block_bytes);
  for (std::byte& b : rows) b = static_cast<std::byte>(Next(state) >> 24);
  for (size_t at = 0; at < rows.size(); at += info.block_bytes) {  // the block's fp16 scale
    const uint16_t scale = tensor::F16FromF32(Number(state));
    std::memcpy(&rows[at], &scale, 2);
    if (type == tensor::DType::kQ4_1) std::memcpy(&rows[at + 2], &scale, 2);
  }
  PackedMatrix plan = PackPlan(type, kOutputs, k);
  Case c{plan, Memory(PackedBytes(plan)), std::vector<float>(static_cast<size_t>(kRows) * k)};
  PackPanels(plan, type, rows.data(), 0, plan.panels(), c.weights.data());
  for (float& v : c.x) v = Number(state);
  return c;
}

std::vector<float> Product(const KernelTable& table, const PackedMatrix& w, const float* x, int m) {
  std::vector<float> y(static_cast<size_t>(m) * kOutputs);
  Memory rows(static_cast<size_t>(PaddedRows(m)) * table.quantized_row_bytes(w.k));
  table.quantize_rows(x, w.k, m, w.k, rows.data());
  table.gemm_int(w, rows.data(), m, y.data(), kOutputs, 0, w.panels());
  return y;
}

// Two orders of adding k products of numbers near 1 differ by less than k · 2^-24 of their size.
bool Close(const float* a, const float* b, int k) {
  float largest = 1;
  for (int i = 0; i < kOutputs; ++i) largest = std::max(largest, std::fabs(a[i]));
  const float bound = largest * static_cast<float>(k) * 0x1p-22F;
  for (int i = 0; i < kOutputs; ++i) {
    if (!(std::fabs(a[i] - b[i]) <= bound)) return false;  // NaN is not close
  }
  return true;
}

}  // namespace

Agreement CompareWithDefinition(const KernelTable& table) {
  const KernelTable& truth = DefinitionOf(table);
  Agreement agreement = Agreement::kBits;
  uint32_t state = 20230110;
  for (const tensor::DType type : {tensor::DType::kQ4_0, tensor::DType::kQ4_1, tensor::DType::kQ5_0, tensor::DType::kQ8_0}) {
    const int k = 608;  // two chunks of 256 inputs and a part of one, which ends in half a block
    Case c = MakeCase(type, k, state);
    c.w.data = c.weights.data();
    const std::vector<float> whole = Product(table, c.w, c.x.data(), kRows);
    for (const int m : {1, 13, 16, 23, 32, 33, kRows}) {
      const std::vector<float> part = Product(table, c.w, c.x.data(), m);
      if (std::memcmp(part.data(), whole.data(), part.size() * 4) != 0) return Agreement::kWrong;
    }
    for (const int r : kCompared) {
      const std::vector<float> want = Product(truth, c.w, &c.x[static_cast<size_t>(r) * k], 1);
      const float* got = &whole[static_cast<size_t>(r) * kOutputs];
      if (!Close(want.data(), got, k)) return Agreement::kWrong;
      if (std::memcmp(want.data(), got, kOutputs * 4) != 0) agreement = Agreement::kClose;
    }
  }
  return agreement;
}

bool ChecksOut(const KernelTable& table) {
  switch (CompareWithDefinition(table)) {
    case Agreement::kBits: return true;
    case Agreement::kClose:
      if (table.definition == nullptr) break;  // integers have no order of summation
      LogWarn("kernels", "table {}: sums are added in another order than Intel's manual says; "
              "results are as good, but not those of {}", table.name, DefinitionOf(table).name);
      return true;
    case Agreement::kWrong: break;
  }
  LogError("kernels", "table {} fails its self-check on this CPU and is not used", table.name);
  return false;
}

}  // namespace pelton::kernels
