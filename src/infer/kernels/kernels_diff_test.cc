// Every table this machine can run, against its definition (`ref` for most), bit for bit: over a grid
// of shapes, for any number of rows, any panel range, any split of rows, and with rubbish wherever
// nothing may be read. On x86 also "amx" with tiles that are emulated, where there are none.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "kernels/ref/ref.h"
#include "kernels/test_weights.h"
#if defined(__x86_64__)
#include "kernels/testing/emulated_tables.h"
#include "kernels/testing/tile_emulator.h"
#include "kernels/x86/amx/self_check.h"
#endif

namespace pelton::kernels {
namespace {

using tensor::DType;
using testing::AlignedBytes;
using testing::RandomFloats;

constexpr float kPoison = 1234.5f;

// Exactly `count` floats, so that a sanitizer sees any access beyond them.
struct Exact {
  explicit Exact(const std::vector<float>& v) : data(new float[v.size()]), size(v.size()) {
    if (!v.empty()) std::memcpy(data.get(), v.data(), v.size() * 4);
  }
  std::unique_ptr<float[]> data;
  size_t size;
};

::testing::AssertionResult SameBits(const float* a, const float* b, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
    if (!both_nan && std::memcmp(a + i, b + i, 4) != 0) {
      return ::testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

class Tables : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
  const KernelTable& definition() const { return DefinitionOf(table()); }

  std::vector<float> Product(const KernelTable& t, const PackedMatrix& w, const float* x, int m,
                             int panel_begin, int panel_end) {
    std::vector<float> y(static_cast<size_t>(m) * w.n, kPoison);
    if (t.takes_quantized(w)) {
      AlignedBytes q(static_cast<size_t>(PaddedRows(m)) * t.quantized_row_bytes(w.k));
      t.quantize_rows(x, w.k, m, w.k, q.data());
      t.gemm_int(w, q.data(), m, y.data(), w.n, panel_begin, panel_end);
    } else {
      t.gemm_float(w, x, w.k, m, y.data(), w.n, panel_begin, panel_end);
    }
    return y;
  }

  // Bits, but for tiles whose hardware adds in another order than the manual's: there the definition
  // is a matter of rounding, and only a table's rows must agree with each other bit for bit.
  ::testing::AssertionResult SameProducts(const std::vector<float>& truth,
                                          const std::vector<float>& mine, int k) const {
    ::testing::AssertionResult same = SameBits(truth.data(), mine.data(), truth.size());
#if defined(__x86_64__)
    if (same || table().definition == nullptr) return same;
    if (CompareWithDefinition(table()) != Agreement::kClose) return same;
    float largest = 0;
    for (const float v : truth) largest = std::isfinite(v) ? std::max(largest, std::fabs(v)) : largest;
    for (size_t i = 0; i < truth.size(); ++i) {
      if (std::isnan(truth[i]) && std::isnan(mine[i])) continue;
      if (!(std::fabs(truth[i] - mine[i]) <= largest * static_cast<float>(k) * 0x1p-22F)) return same;
    }
    return ::testing::AssertionSuccess();
#else
    static_cast<void>(k);
    return same;
#endif
  }

#if defined(__x86_64__)
 private:
  testing::TileTrap trap_;  // for the emulated tables; tiles that exist do not trap
#endif
};

TEST_P(Tables, ProductsOfEveryTypeAndShapeEqualTheDefinition) {
  struct Shape {
    int n, k;
  };
  for (const DType type : testing::kAllTypes) {
    const int block = static_cast<int>(tensor::InfoOf(type).block_elems);
    std::vector<Shape> shapes = {{16, 256}, {1, 256}, {17, 512}, {83, 768}};
    if (block <= 32) shapes.insert(shapes.end(), {{5, 32}, {16, 64}, {33, 96}, {64, 160}});
    if (block == 1) shapes.insert(shapes.end(), {{1, 1}, {15, 7}, {130, 65}});
    for (const Shape& shape : shapes) {
      const auto rows = testing::RandomRows(type, shape.n, shape.k, 1);
      const auto owned = testing::PackAll(type, rows, shape.n, shape.k);
      for (const int m : {1, 2, 3, 7, 8, 9, 29}) {
        const Exact x(RandomFloats(static_cast<size_t>(m) * shape.k, 2));
        const int panels = owned.matrix.panels();
        const auto truth = Product(definition(), owned.matrix, x.data.get(), m, 0, panels);
        const auto mine = Product(table(), owned.matrix, x.data.get(), m, 0, panels);
        EXPECT_TRUE(SameProducts(truth, mine, shape.k))
            << tensor::InfoOf(type).name << " n " << shape.n << " k " << shape.k << " m " << m;
      }
    }
  }
}

// Tables work on blocks of rows that fit a cache, and on runs of inputs: both sides of each border.
TEST_P(Tables, ManyRowsAndLongRowsEqualTheDefinition) {
  struct Shape {
    int n, k, m;
  };
  for (const DType type : {DType::kQ4_0, DType::kQ4_1, DType::kQ8_0, DType::kQ2_K}) {
    for (const Shape& s : {Shape{17, 4352, 71}, Shape{16, 256, 511}, Shape{16, 256, 517}}) {
      const auto owned = testing::PackAll(type, testing::RandomRows(type, s.n, s.k, 7), s.n, s.k);
      const Exact x(RandomFloats(static_cast<size_t>(s.m) * s.k, 8));
      const int panels = owned.matrix.panels();
      const auto truth = Product(definition(), owned.matrix, x.data.get(), s.m, 0, panels);
      const auto mine = Product(table(), owned.matrix, x.data.get(), s.m, 0, panels);
      EXPECT_TRUE(SameProducts(truth, mine, s.k))
          << tensor::InfoOf(type).name << " n " << s.n << " k " << s.k << " m " << s.m;
    }
  }
}

TEST_P(Tables, RowOfABatchEqualsTheRowAloneForAnyPanelRange) {
  for (const DType type : {DType::kQ4_1, DType::kQ6_K, DType::kQ8_0, DType::kF16}) {
    const int n = 70;
    const int k = 512;
    const int m = 23;
    const auto owned = testing::PackAll(type, testing::RandomRows(type, n, k, 3), n, k);
    const auto x = RandomFloats(static_cast<size_t>(m) * k, 4);
    const auto whole = Product(table(), owned.matrix, x.data(), m, 0, 5);
    for (int r = 0; r < m; ++r) {
      const auto alone = Product(table(), owned.matrix, x.data() + r * k, 1, 0, 5);
      EXPECT_TRUE(SameBits(alone.data(), &whole[static_cast<size_t>(r) * n], n)) << r;
    }
    for (int begin = 0; begin < 5; ++begin) {
      for (int end = begin; end <= 5; ++end) {
        const auto part = Product(table(), owned.matrix, x.data(), m, begin, end);
        for (int r = 0; r < m; ++r) {
          for (int c = 0; c < n; ++c) {
            const bool inside = c / 16 >= begin && c / 16 < end;
            ASSERT_EQ(part[r * n + c], inside ? whole[r * n + c] : kPoison) << r << ' ' << c;
          }
        }
      }
    }
  }
}

TEST_P(Tables, ExtremeActivationsAndCodesNeitherSaturateNorOverflow) {
  const int n = 16;
  const int k = 256;
  for (const DType type : testing::kAllTypes) {
    if (!tensor::AffineFormOf(type)) continue;
    auto rows = testing::RandomRows(type, n, k, 5);
    for (auto& b : rows) b = std::byte{0xff};  // largest codes
    int d = 0;
    int min = 0;
    testing::HalfOffsets(type, &d, &min);
    const tensor::DTypeInfo& info = tensor::InfoOf(type);
    const uint16_t one = 0x3c00;
    for (size_t i = 0; i < rows.size(); i += info.block_bytes) {
      std::memcpy(&rows[i + static_cast<size_t>(d)], &one, 2);
      if (min >= 0) std::memcpy(&rows[i + static_cast<size_t>(min)], &one, 2);
    }
    const auto owned = testing::PackAll(type, rows, n, k);
    for (const float size : {1.f, -1.f, 3e38f, 1e-35f, 0.f}) {
      const std::vector<float> x(k * 8, size);
      const auto truth = Product(definition(), owned.matrix, x.data(), 8, 0, 1);
      const auto mine = Product(table(), owned.matrix, x.data(), 8, 0, 1);
      EXPECT_TRUE(SameProducts(truth, mine, k)) << info.name << ' ' << size;
    }
  }
}

TEST_P(Tables, NonFiniteActivationsReachTheirRowOnly) {
  const int k = 128;
  const auto owned = testing::PackAll(DType::kQ4_0, testing::RandomRows(DType::kQ4_0, 16, k, 6), 16, k);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          -std::numeric_limits<float>::infinity()}) {
    auto x = RandomFloats(3 * k, 7);
    x[k + 77] = bad;
    const auto y = Product(table(), owned.matrix, x.data(), 3, 0, 1);
    for (int c = 0; c < 16; ++c) {
      EXPECT_TRUE(std::isfinite(y[c]));
      EXPECT_TRUE(std::isnan(y[16 + c]));
      EXPECT_TRUE(std::isfinite(y[32 + c]));
    }
  }
}

TEST_P(Tables, RowOperationsEqualRef) {
  for (int n = 1; n <= 130; n += n < 70 ? 1 : 29) {
    auto raw = RandomFloats(n, 8, 3.f);
    if (n > 20) raw[5] = 100.f, raw[6] = -100.f, raw[7] = -0.f;
    const Exact x(raw);
    const Exact w(RandomFloats(n, 9));
    std::vector<float> truth(n);
    Exact mine(std::vector<float>(n, kPoison));
    const KernelTable& t = table();
    kRefTable.rms_norm(x.data.get(), w.data.get(), 1e-5f, n, truth.data());
    t.rms_norm(x.data.get(), w.data.get(), 1e-5f, n, mine.data.get());
    EXPECT_TRUE(SameBits(truth.data(), mine.data.get(), n)) << "rms_norm " << n;
    kRefTable.silu_mul(x.data.get(), w.data.get(), n, truth.data());
    t.silu_mul(x.data.get(), w.data.get(), n, mine.data.get());
    EXPECT_TRUE(SameBits(truth.data(), mine.data.get(), n)) << "silu_mul " << n;
    kRefTable.gelu_tanh_mul(x.data.get(), w.data.get(), n, truth.data());
    t.gelu_tanh_mul(x.data.get(), w.data.get(), n, mine.data.get());
    EXPECT_TRUE(SameBits(truth.data(), mine.data.get(), n)) << "gelu_tanh_mul " << n;
    kRefTable.add(x.data.get(), n, truth.data());
    t.add(x.data.get(), n, mine.data.get());
    EXPECT_TRUE(SameBits(truth.data(), mine.data.get(), n)) << "add " << n;
    kRefTable.scale(0.3f, n, truth.data());
    t.scale(0.3f, n, mine.data.get());
    EXPECT_TRUE(SameBits(truth.data(), mine.data.get(), n)) << "scale " << n;
    kRefTable.soft_cap(2.5f, n, truth.data());
    t.soft_cap(2.5f, n, mine.data.get());
    EXPECT_TRUE(SameBits(truth.data(), mine.data.get(), n)) << "soft_cap " << n;
    float max[2];
    double sum[2];
    kRefTable.max_sum_exp(x.data.get(), n, &max[0], &sum[0]);
    t.max_sum_exp(x.data.get(), n, &max[1], &sum[1]);
    EXPECT_EQ(max[0], max[1]);
    EXPECT_EQ(sum[0], sum[1]) << n;
    EXPECT_EQ(kRefTable.argmax(x.data.get(), n), t.argmax(x.data.get(), n));
  }
}

TEST_P(Tables, ReductionsOfTiesInfinitiesAndNotANumberEqualRef) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::vector<float>> cases = {
      std::vector<float>(40, 2.f), std::vector<float>(20, -inf), std::vector<float>(17, nan),
      {nan, 1, nan, 3, 3, 2}, {-0.f, 0.f}, {0.f, -0.f, -inf}};
  for (const auto& x : cases) {
    const int n = static_cast<int>(x.size());
    EXPECT_EQ(table().argmax(x.data(), n), kRefTable.argmax(x.data(), n));
    float max[2];
    double sum[2];
    kRefTable.max_sum_exp(x.data(), n, &max[0], &sum[0]);
    table().max_sum_exp(x.data(), n, &max[1], &sum[1]);
    EXPECT_TRUE(SameBits(&max[0], &max[1], 1));
    EXPECT_TRUE(sum[0] == sum[1] || (std::isnan(sum[0]) && std::isnan(sum[1])));
  }
}

TEST_P(Tables, RopeEqualsRef) {
  for (const RopeStyle style : {RopeStyle::kInterleaved, RopeStyle::kHalves}) {
    for (const int rope_dim : {2, 6, 16, 30, 32, 64, 128}) {
      for (const int extra : {0, 3}) {
        const int head_dim = rope_dim + extra;
        const Exact cos(RandomFloats(rope_dim / 2, 10));
        const Exact sin(RandomFloats(rope_dim / 2, 11));
        auto truth = RandomFloats(static_cast<size_t>(3) * head_dim, 12);
        const Exact mine(truth);
        kRefTable.rope(truth.data(), 3, head_dim, rope_dim, cos.data.get(), sin.data.get(), style);
        table().rope(mine.data.get(), 3, head_dim, rope_dim, cos.data.get(), sin.data.get(), style);
        EXPECT_TRUE(SameBits(truth.data(), mine.data.get(), truth.size())) << rope_dim;
      }
    }
  }
}

TEST_P(Tables, KvBlocksEqualRefAndHoldOnlyFiniteNumbers) {
  for (const int head_dim : {1, 8, 24, 64, 80, 256}) {
    const int kv_heads = 2;
    const size_t bytes = KvBlockBytes(kv_heads, head_dim);
    AlignedBytes truth(bytes);
    AlignedBytes mine(bytes);
    for (int slot = 0; slot < 16; ++slot) {
      auto k = RandomFloats(static_cast<size_t>(kv_heads) * head_dim, 13 + slot);
      auto v = RandomFloats(static_cast<size_t>(kv_heads) * head_dim, 33 + slot);
      k[0] = std::numeric_limits<float>::infinity();
      v[1 % v.size()] = std::numeric_limits<float>::quiet_NaN();
      v[0] = -1e6f;
      definition().kv_write(k.data(), v.data(), kv_heads, head_dim, slot, truth.data());
      const Exact k_exact(k);
      const Exact v_exact(v);
      table().kv_write(k_exact.data.get(), v_exact.data.get(), kv_heads, head_dim, slot, mine.data());
    }
    EXPECT_EQ(std::memcmp(truth.data(), mine.data(), bytes), 0) << head_dim;
    for (size_t i = 0; i < bytes; i += 2) {
      uint16_t half = 0;
      std::memcpy(&half, mine.data() + i, 2);
      const bool bf16 = table().definition != nullptr && head_dim % 32 == 0;
      ASSERT_TRUE(std::isfinite(bf16 ? tensor::F32FromBF16(half) : tensor::F32FromF16(half)));
    }
  }
}

// A cache of `tokens` positions with NaN in every slot that was never written, and blocks that are
// outside the sequence full of NaN.
struct Cache {
  Cache(const KernelTable& writer, int kv_heads, int head_dim, int tokens, uint32_t seed)
      : block_bytes(KvBlockBytes(kv_heads, head_dim)),
        kv(block_bytes * static_cast<size_t>(tokens / 16 + 3)) {
    std::memset(kv.data(), 0xff, kv.size());
    const int blocks = tokens / 16 + 3;
    for (int i = 0; i < (tokens + 15) / 16; ++i) table.push_back(blocks - 1 - i);
    const size_t width = static_cast<size_t>(kv_heads) * head_dim;
    const auto k = RandomFloats(width * tokens, seed);
    const auto v = RandomFloats(width * tokens, seed + 1);
    for (int t = 0; t < tokens; ++t) {
      writer.kv_write(&k[t * width], &v[t * width], kv_heads, head_dim, t % 16,
                         kv.data() + table[t / 16] * block_bytes);
    }
  }
  size_t block_bytes;
  AlignedBytes kv;
  std::vector<int32_t> table;
};

struct AttentionCase {
  int heads, kv_heads, head_dim, position, rows, window;
  float softcap;
};

std::vector<float> Attend(const KernelTable& t, const AttentionCase& c, const Cache& cache,
                          const std::vector<float>& q, int row_begin, int rows) {
  const int64_t stride = static_cast<int64_t>(c.heads) * c.head_dim;
  std::vector<float> out(static_cast<size_t>(rows * stride), kPoison);
  for (int kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
    t.attention({.q = q.data() + row_begin * stride, .q_stride = stride, .out = out.data(),
                 .out_stride = stride, .kv = cache.kv.data(), .block_bytes = cache.block_bytes,
                 .block_table = cache.table.data(), .rows = rows,
                 .position = c.position + row_begin, .window = c.window, .heads = c.heads,
                 .kv_heads = c.kv_heads, .head_dim = c.head_dim, .kv_head_begin = kv_head,
                 .kv_head_end = kv_head + 1, .scale = 0.3f, .softcap = c.softcap});
  }
  return out;
}

TEST_P(Tables, AttentionEqualsRefAndDoesNotReadWhatWasNeverWritten) {
  const AttentionCase cases[] = {
      {1, 1, 64, 0, 1, 0, 0},    {9, 3, 64, 0, 70, 0, 0},   {9, 3, 64, 130, 1, 0, 0},
      {4, 1, 256, 40, 20, 33, 0}, {8, 2, 128, 63, 2, 0, 0}, {8, 8, 80, 64, 3, 0, 30.f},
      {7, 1, 24, 15, 18, 5, 0},  {2, 1, 8, 200, 9, 64, 0},  {6, 2, 32, 127, 66, 1, 0},
      {5, 1, 96, 300, 1, 100, 0},
      // Over the borders of segments, with and without a window.
      {4, 2, 40, 505, 12, 0, 0},  {3, 1, 32, 1500, 1, 0, 0}, {6, 1, 16, 1022, 4, 520, 20.f},
      {2, 2, 24, 1530, 40, 3, 0},
      // More queries than one gathering of values serves; heads that fill no group, and many groups.
      {12, 1, 64, 490, 40, 0, 0}, {40, 2, 32, 1000, 30, 100, 0}, {3, 1, 64, 0, 1, 0, 0},
      {4, 2, 128, 1023, 2, 0, 0}, {8, 1, 96, 31, 3, 20, 15.f}};
  for (const AttentionCase& c : cases) {
    const Cache cache(definition(), c.kv_heads, c.head_dim, c.position + c.rows, 50);
    const size_t stride = static_cast<size_t>(c.heads) * c.head_dim;
    const auto q = RandomFloats(stride * c.rows, 60);
    const auto truth = Attend(definition(), c, cache, q, 0, c.rows);
    const auto mine = Attend(table(), c, cache, q, 0, c.rows);
    EXPECT_TRUE(SameBits(truth.data(), mine.data(), truth.size())) << c.heads << ' ' << c.head_dim;
    for (const float v : mine) ASSERT_TRUE(std::isfinite(v));
    // Any split of the rows gives the same bits.
    for (const int step : {1, 2, 5, 16}) {
      for (int row = 0; row < c.rows; row += step) {
        const int rows = std::min(step, c.rows - row);
        const auto part = Attend(table(), c, cache, q, row, rows);
        ASSERT_TRUE(SameBits(part.data(), &mine[row * stride], part.size())) << step << ' ' << row;
      }
    }
  }
}

// One row by the two steps that threads may share: any segment may be computed anywhere.
TEST_P(Tables, SegmentsThatAreJoinedGiveTheBitsOfTheWhole) {
  const AttentionCase cases[] = {{9, 3, 64, 5, 1, 0, 0},     {9, 3, 64, 511, 1, 0, 0},
                                 {9, 3, 64, 512, 1, 0, 0},   {8, 2, 72, 1500, 1, 0, 0},
                                 {7, 1, 128, 1600, 1, 700, 9.f}, {1, 1, 8, 1030, 1, 512, 0}};
  for (const AttentionCase& c : cases) {
    const Cache cache(definition(), c.kv_heads, c.head_dim, c.position + 1, 70);
    const int64_t stride = static_cast<int64_t>(c.heads) * c.head_dim;
    const auto q = RandomFloats(static_cast<size_t>(stride), 71);
    const auto whole = Attend(table(), c, cache, q, 0, 1);
    std::vector<float> out(static_cast<size_t>(stride), kPoison);
    const int first = FirstSegment(c.position, c.window);
    const int segments = SegmentCount(c.position, c.window);
    const size_t floats = static_cast<size_t>(c.heads / c.kv_heads) * AttentionPartFloats(c.head_dim);
    for (int kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
      const AttentionArgs args{
          .q = q.data(), .q_stride = stride, .out = out.data(), .out_stride = stride,
          .kv = cache.kv.data(), .block_bytes = cache.block_bytes,
          .block_table = cache.table.data(), .rows = 1, .position = c.position, .window = c.window,
          .heads = c.heads, .kv_heads = c.kv_heads, .head_dim = c.head_dim,
          .kv_head_begin = kv_head, .kv_head_end = kv_head + 1, .scale = 0.3f,
          .softcap = c.softcap};
      AlignedBytes parts(floats * 4 * static_cast<size_t>(segments));
      std::memset(parts.data(), 0xff, parts.size());
      auto* at = reinterpret_cast<float*>(parts.data());
      for (int s = segments - 1; s >= 0; --s) table().attention_segment(args, first + s, at + s * floats);
      table().attention_join(args, segments, at);
    }
    EXPECT_TRUE(SameBits(whole.data(), out.data(), out.size())) << c.position << ' ' << c.window;
  }
}

TEST(TableList, EveryTableHasEveryOperation) {
  for (const KernelTable* table : AllTables()) {
    const auto* entry = reinterpret_cast<const void* const*>(&table->usable);
    const auto* end = reinterpret_cast<const void* const*>(&table->definition);  // which may be null
    for (; entry < end; ++entry) EXPECT_NE(*entry, nullptr) << table->name;
  }
}

std::vector<const KernelTable*> UsableTables() {
  std::vector<const KernelTable*> usable;
  for (const KernelTable* table : AllTables()) {
    if (table->usable(UsableCpuFeatures())) usable.push_back(table);
  }
  return usable;
}

INSTANTIATE_TEST_SUITE_P(Usable, Tables, ::testing::ValuesIn(UsableTables()),
                         [](const auto& info) { return std::string(info.param->name); });

#if defined(__x86_64__)
INSTANTIATE_TEST_SUITE_P(Emulated, Tables,
                         ::testing::ValuesIn(testing::EmulatedTables(UsableCpuFeatures())),
                         [](const auto& info) { return std::string(info.param->name); });
#endif

}  // namespace
}  // namespace pelton::kernels
