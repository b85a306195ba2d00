// What each operation of `ref` means, against plain double arithmetic on the dequantised weights;
// and that packing loses nothing.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "kernels/packed.h"
#include "kernels/numbers.h"
#include "kernels/ref/ref.h"
#include "kernels/test_weights.h"

namespace pelton::kernels {
namespace {

using tensor::DType;
using testing::kAllTypes;

std::vector<float> Dequantized(DType type, const std::vector<std::byte>& rows, int n, int k) {
  std::vector<float> out(static_cast<size_t>(n) * k);
  tensor::DequantizeRow(type, rows.data(), static_cast<int64_t>(n) * k, out.data());
  return out;
}

class PackedTypes : public ::testing::TestWithParam<DType> {};

TEST_P(PackedTypes, UnpackRowGivesTheDequantisedWeights) {
  const DType type = GetParam();
  const int n = 19;
  const int k = 512;
  const auto rows = testing::RandomRows(type, n, k, 1);
  const auto truth = Dequantized(type, rows, n, k);
  const auto owned = testing::PackAll(type, rows, n, k);
  std::vector<float> out(k);
  float largest = 0;
  for (float v : truth) largest = std::max(largest, std::fabs(v));
  for (int r = 0; r < n; ++r) {
    UnpackRow(owned.matrix, r, out.data());
    for (int i = 0; i < k; ++i) {
      // fp16 rounding of K-quant scales and minima, each 2^-11 of numbers up to the largest.
      EXPECT_NEAR(out[i], truth[static_cast<size_t>(r) * k + i], largest * 1e-3f) << r << ' ' << i;
    }
  }
}

TEST_P(PackedTypes, RefProductIsTheProductOfTheUnpackedWeights) {
  const DType type = GetParam();
  const int n = 21;
  const int k = 768;
  const int m = 3;
  const auto rows = testing::RandomRows(type, n, k, 2);
  const auto owned = testing::PackAll(type, rows, n, k);
  const auto x = testing::RandomFloats(static_cast<size_t>(m) * k, 3);
  std::vector<float> y(static_cast<size_t>(m) * n, -1.f);
  if (IsInteger(owned.matrix.layout)) {
    testing::AlignedBytes q(static_cast<size_t>(m) * ref::QuantizedRowBytes(k));
    ref::QuantizeRows(x.data(), k, m, k, q.data());
    ref::GemmInt(owned.matrix, q.data(), m, y.data(), n, 0, owned.matrix.panels());
  } else {
    ref::GemmFloat(owned.matrix, x.data(), k, m, y.data(), n, 0, owned.matrix.panels());
  }
  std::vector<float> w(k);
  for (int c = 0; c < n; ++c) {
    UnpackRow(owned.matrix, c, w.data());
    for (int r = 0; r < m; ++r) {
      double sum = 0;
      double size = 0;
      for (int i = 0; i < k; ++i) {
        sum += static_cast<double>(w[i]) * x[r * k + i];
        size += std::fabs(static_cast<double>(w[i]) * x[r * k + i]);
      }
      // 16-bit activations: about 2^-16 of the group's largest each.
      EXPECT_NEAR(y[r * n + c], sum, size * 2e-5) << r << ' ' << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PackedTypes, ::testing::ValuesIn(kAllTypes),
                         [](const auto& info) { return std::string(tensor::InfoOf(info.param).name); });

TEST(Pack, InputsThatAreNotAMultipleOf64ArePaddedWithNothing) {
  const int n = 5;
  const int k = 96;
  const auto rows = testing::RandomRows(DType::kQ4_1, n, k, 4);
  const auto owned = testing::PackAll(DType::kQ4_1, rows, n, k);
  const auto truth = Dequantized(DType::kQ4_1, rows, n, k);
  std::vector<float> out(k);
  for (int r = 0; r < n; ++r) {
    UnpackRow(owned.matrix, r, out.data());
    for (int i = 0; i < k; ++i) EXPECT_EQ(out[i], truth[static_cast<size_t>(r) * k + i]);
  }
}

TEST(Pack, ScalesOfAnySizeStayInHalfRange) {
  const int n = 16;
  const int k = 256;
  for (const float size : {1e-7f, 1e-3f, 10.f}) {
    const auto rows = testing::RandomRows(DType::kQ6_K, n, k, 5, size);
    const auto truth = Dequantized(DType::kQ6_K, rows, n, k);
    const auto owned = testing::PackAll(DType::kQ6_K, rows, n, k);
    float largest = 0;
    for (float v : truth) largest = std::max(largest, std::fabs(v));
    std::vector<float> out(k);
    for (int r = 0; r < n; ++r) {
      UnpackRow(owned.matrix, r, out.data());
      for (int i = 0; i < k; ++i) {
        EXPECT_NEAR(out[i], truth[static_cast<size_t>(r) * k + i], largest * 5e-4f) << size;
      }
    }
  }
}

TEST(Pack, MatricesOfZerosAndOfNotANumberDoNotTrouble) {
  for (const DType type : kAllTypes) {
    const tensor::DTypeInfo& info = tensor::InfoOf(type);
    for (const int fill : {0, 0xff}) {
      std::vector<std::byte> rows(static_cast<size_t>(512 / info.block_elems) * info.block_bytes,
                                  static_cast<std::byte>(fill));
      const auto owned = testing::PackAll(type, rows, 2, 256);
      std::vector<float> out(256);
      UnpackRow(owned.matrix, 1, out.data());
      if (fill != 0) continue;
      for (const float v : out) EXPECT_EQ(v, 0.f);
    }
  }
}

TEST(Quantize, GroupWithANonFiniteValueMakesTheRowNotANumber) {
  const auto rows = testing::RandomRows(DType::kQ8_0, 16, 64, 6);
  const auto owned = testing::PackAll(DType::kQ8_0, rows, 16, 64);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(128, 1.f);
    x[40] = bad;
    testing::AlignedBytes q(2 * ref::QuantizedRowBytes(64));
    ref::QuantizeRows(x.data(), 64, 2, 64, q.data());
    float y[32];
    ref::GemmInt(owned.matrix, q.data(), 2, y, 16, 0, 1);
    for (int i = 0; i < 16; ++i) {
      EXPECT_TRUE(std::isnan(y[i]));
      EXPECT_FALSE(std::isnan(y[16 + i]));
    }
  }
}

TEST(Quantize, ExtremesOfMagnitudeStayInRange) {
  for (const float size : {0.f, 1e-38f, 1e-30f, 1e-20f, 1.f, 3e38f}) {
    std::vector<float> x(64, size);
    x[3] = -size;
    testing::AlignedBytes q(ref::QuantizedRowBytes(64));
    ref::QuantizeRows(x.data(), 64, 1, 64, q.data());
    const auto* groups = reinterpret_cast<const PlaneGroup*>(q.data());
    for (int i = 0; i < 64; ++i) {
      const PlaneGroup& g = groups[i / 32];
      EXPECT_GE(g.hi[i % 32], -127);
      const double back = static_cast<double>(g.d) * (256 * g.hi[i % 32] + g.lo[i % 32]);
      EXPECT_NEAR(back, x[i], size < kQuantTiny ? kQuantTiny : size * 1e-6);
    }
  }
}

TEST(Exp, IsCloseExactAtZeroAndNothingFarBelow) {
  EXPECT_EQ(ref::Exp(0.f), 1.f);
  EXPECT_EQ(ref::Exp(-std::numeric_limits<float>::infinity()), 0.f);
  EXPECT_EQ(ref::Exp(-1000.f), 0.f);
  EXPECT_TRUE(std::isnan(ref::Exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isfinite(ref::Exp(1e30f)));
  for (float x = -86.9f; x < 88.f; x += 0.0137f) {
    const double truth = std::exp(static_cast<double>(x));
    EXPECT_NEAR(ref::Exp(x) / truth, 1.0, 4e-7) << x;
  }
}

TEST(Rows, NormGatesAndReductionsMeanWhatTheySay) {
  const int n = 300;
  const auto x = testing::RandomFloats(n, 7);
  const auto w = testing::RandomFloats(n, 8);
  std::vector<float> out(n);
  ref::RmsNorm(x.data(), w.data(), 1e-5f, n, out.data());
  double squares = 0;
  for (float v : x) squares += static_cast<double>(v) * v;
  const double factor = 1 / std::sqrt(squares / n + 1e-5);
  for (int i = 0; i < n; ++i) EXPECT_NEAR(out[i], x[i] * factor * w[i], 1e-5);
  ref::SiluMul(x.data(), w.data(), n, out.data());
  for (int i = 0; i < n; ++i) EXPECT_NEAR(out[i], x[i] / (1 + std::exp(-x[i])) * w[i], 1e-5);
  ref::GeluTanhMul(x.data(), w.data(), n, out.data());
  for (int i = 0; i < n; ++i) {
    const double v = x[i];
    const double t = std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v));
    EXPECT_NEAR(out[i], 0.5 * v * (1 + t) * w[i], 1e-5);
  }
  float max = 0;
  double sum = 0;
  ref::MaxSumExp(x.data(), n, &max, &sum);
  double truth = 0;
  for (float v : x) truth += std::exp(static_cast<double>(v) - max);
  EXPECT_EQ(max, *std::max_element(x.begin(), x.end()));
  EXPECT_NEAR(sum, truth, truth * 1e-6);
  EXPECT_EQ(ref::Argmax(x.data(), n), std::max_element(x.begin(), x.end()) - x.begin());
}

TEST(Rows, RopeTurnsPairsOfBothStylesAndLeavesTheRest) {
  const int head_dim = 10;
  const int rope_dim = 8;
  const auto angles = testing::RandomFloats(4, 9);
  float cos[4];
  float sin[4];
  for (int i = 0; i < 4; ++i) {
    cos[i] = std::cos(angles[i]);
    sin[i] = std::sin(angles[i]);
  }
  const auto x = testing::RandomFloats(2 * head_dim, 10);
  for (const RopeStyle style : {RopeStyle::kInterleaved, RopeStyle::kHalves}) {
    auto y = x;
    ref::Rope(y.data(), 2, head_dim, rope_dim, cos, sin, style);
    for (int h = 0; h < 2; ++h) {
      for (int i = 0; i < 4; ++i) {
        const int a = h * head_dim + (style == RopeStyle::kInterleaved ? 2 * i : i);
        const int b = style == RopeStyle::kInterleaved ? a + 1 : a + 4;
        EXPECT_NEAR(y[a], x[a] * cos[i] - x[b] * sin[i], 1e-6);
        EXPECT_NEAR(y[b], x[b] * cos[i] + x[a] * sin[i], 1e-6);
      }
      EXPECT_EQ(y[h * head_dim + 8], x[h * head_dim + 8]);
      EXPECT_EQ(y[h * head_dim + 9], x[h * head_dim + 9]);
    }
  }
}

TEST(Attention, RefIsSoftmaxOverTheWindow) {
  const int heads = 4, kv_heads = 2, head_dim = 24, tokens = 150;
  const size_t block_bytes = KvBlockBytes(kv_heads, head_dim);
  testing::AlignedBytes kv(block_bytes * 12);
  std::vector<int32_t> table;
  for (int i = 0; i < 10; ++i) table.push_back(11 - i);
  const auto k = testing::RandomFloats(static_cast<size_t>(tokens) * kv_heads * head_dim, 11);
  const auto v = testing::RandomFloats(static_cast<size_t>(tokens) * kv_heads * head_dim, 12);
  for (int t = 0; t < tokens; ++t) {
    ref::KvWrite(&k[static_cast<size_t>(t) * kv_heads * head_dim],
                 &v[static_cast<size_t>(t) * kv_heads * head_dim], kv_heads, head_dim, t % 16,
                 kv.data() + table[t / 16] * block_bytes);
  }
  const int rows = 3;
  const auto q = testing::RandomFloats(static_cast<size_t>(rows) * heads * head_dim, 13);
  std::vector<float> out(q.size());
  for (const int window : {0, 70}) {
    for (const float softcap : {0.f, 5.f}) {
      AttentionArgs args{.q = q.data(), .q_stride = heads * head_dim, .out = out.data(),
                         .out_stride = heads * head_dim, .kv = kv.data(),
                         .block_bytes = block_bytes, .block_table = table.data(), .rows = rows,
                         .position = tokens - rows, .window = window, .heads = heads,
                         .kv_heads = kv_heads, .head_dim = head_dim, .kv_head_begin = 0,
                         .kv_head_end = kv_heads, .scale = 0.2f, .softcap = softcap};
      ref::Attention(args);
      for (int r = 0; r < rows; ++r) {
        for (int h = 0; h < heads; ++h) {
          const int last = tokens - rows + r;
          const int first = window == 0 ? 0 : last - window + 1;
          std::vector<double> p;
          double total = 0;
          for (int t = first; t <= last; ++t) {
            double dot = 0;
            for (int d = 0; d < head_dim; ++d) {
              dot += q[(r * heads + h) * head_dim + d] *
                     static_cast<double>(k[(t * kv_heads + h / 2) * head_dim + d]);
            }
            dot *= 0.2;
            if (softcap > 0) dot = softcap * std::tanh(dot / softcap);
            p.push_back(std::exp(dot));
            total += p.back();
          }
          for (int d = 0; d < head_dim; ++d) {
            double truth = 0;
            for (int t = first; t <= last; ++t) {
              truth += p[t - first] / total * v[(t * kv_heads + h / 2) * head_dim + d];
            }
            EXPECT_NEAR(out[(r * heads + h) * head_dim + d], truth, 2e-3);
          }
        }
      }
    }
  }
}

// Blocks lie on disk in this form: who changes it raises kKvLayoutVersion and this test with it.
TEST(KvBlocks, HaveTheLayoutOfTheirVersion) {
  static_assert(kKvLayoutVersion == 2);
  constexpr int kHeads = 2, kDim = 64, kSlot = 5;
  std::vector<float> k(kHeads * kDim), v(kHeads * kDim);
  for (size_t i = 0; i < k.size(); ++i) {
    k[i] = static_cast<float>(i + 1);
    v[i] = -static_cast<float>(i + 1);
  }
  for (const KernelTable* table : AllTables()) {
    if (!table->usable(UsableCpuFeatures())) continue;
    SCOPED_TRACE(std::string(table->name));
    alignas(64) std::array<uint16_t, kHeads * 2 * kDim * kKvBlockTokens> block{};
    ASSERT_EQ(KvBlockBytes(kHeads, kDim), sizeof(block));
    table->kv_write(k.data(), v.data(), kHeads, kDim, kSlot,
                    reinterpret_cast<std::byte*>(block.data()));
    for (int h = 0; h < kHeads; ++h) {
      const uint16_t* keys = block.data() + h * 2 * kDim * kKvBlockTokens;  // [dim][positions]
      const uint16_t* values = keys + kDim * kKvBlockTokens;                // [positions][dim]
      for (int d = 0; d < kDim; ++d) {
        if (table->definition != nullptr) {  // bf16 [dims / 2][positions][2], [positions / 2][dim][2]
          EXPECT_EQ(tensor::F32FromBF16(keys[d / 2 * 32 + kSlot * 2 + d % 2]), k[h * kDim + d]);
          EXPECT_EQ(tensor::F32FromBF16(values[(kSlot / 2 * kDim + d) * 2 + kSlot % 2]), v[h * kDim + d]);
          continue;
        }
        EXPECT_EQ(tensor::F32FromF16(keys[d * kKvBlockTokens + kSlot]), k[h * kDim + d]);
        EXPECT_EQ(tensor::F32FromF16(values[kSlot * kDim + d]), v[h * kDim + d]);
      }
    }
  }
}

TEST(Dispatch, ChoosesTheBestUsableAndHonoursTheForcedName) {
  EXPECT_EQ(AllTables().back()->name, "ref");
  EXPECT_EQ(ChooseTable(CpuFeatures{}, "")->name, "ref");
  EXPECT_EQ(ChooseTable(UsableCpuFeatures(), "ref")->name, "ref");
  EXPECT_EQ(ChooseTable(UsableCpuFeatures(), "z80"), nullptr);
  const KernelTable* best = ChooseTable(UsableCpuFeatures(), "");
  for (const KernelTable* table : AllTables()) {
    if (table == best) break;
    EXPECT_FALSE(table->usable(UsableCpuFeatures()));
  }
}

}  // namespace
}  // namespace pelton::kernels
