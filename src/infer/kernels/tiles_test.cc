// The tile emulator against Intel's manual, in numbers worked out by hand; and what only tables on
// tiles have: their definition, the self-check, the life of a configuration.
#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <thread>

#include "kernels/ref/ref.h"
#include "kernels/test_weights.h"
#include "kernels/testing/emulated_tables.h"
#include "kernels/testing/tile_emulator.h"
#include "kernels/tiles.h"
#include "kernels/x86/amx/self_check.h"
#include "kernels/x86/amx/tile_ops.h"

namespace pelton::kernels {
namespace {

using tensor::DType;
using testing::ThreadTiles;
using testing::TileDotKind;

TileConfig Config(int rows_c, int bytes_c, int rows_a, int bytes_a, int rows_b, int bytes_b) {
  TileConfig config = {};
  config.palette = 1;
  const int rows[3] = {rows_c, rows_a, rows_b};
  const int bytes[3] = {bytes_c, bytes_a, bytes_b};
  for (int t = 0; t < 3; ++t) {
    config.rows[t] = static_cast<uint8_t>(rows[t]);
    config.row_bytes[t] = static_cast<uint16_t>(bytes[t]);
  }
  return config;
}

void SetBf16(int tile, int row, int index, float v) {
  const uint16_t bits = tensor::BF16FromF32(v);
  std::memcpy(&ThreadTiles().data[tile][row][2 * index], &bits, 2);
}
void SetBits(int tile, int row, int index, uint16_t bits) {
  std::memcpy(&ThreadTiles().data[tile][row][2 * index], &bits, 2);
}
float SumAt(int row, int col) {
  float v = 0;
  std::memcpy(&v, &ThreadTiles().data[0][row][4 * col], 4);
  return v;
}

TEST(TileEmulator, MultipliesPairsIntoTheRightPlace) {
  testing::EmulateConfigure(std::vector<TileConfig>{Config(2, 12, 2, 8, 2, 12)}.data());
  // A = [1 2 3 4; 5 6 7 8], B[k][n] = 10·k + n, k = 0 … 3, n = 0 … 2.
  for (int k = 0; k < 4; ++k) {
    for (int m = 0; m < 2; ++m) SetBf16(1, m, k, static_cast<float>(4 * m + k + 1));
    for (int n = 0; n < 3; ++n) SetBf16(2, k / 2, 2 * n + k % 2, static_cast<float>(10 * k + n));
  }
  testing::EmulateDot(TileDotKind::kBf16, 0, 1, 2);
  EXPECT_EQ(SumAt(0, 0), 2 * 10 + 3 * 20 + 4 * 30);
  EXPECT_EQ(SumAt(0, 2), 200 + 10 * 2);
  EXPECT_EQ(SumAt(1, 1), 6 * 10 + 7 * 20 + 8 * 30 + 26);
  testing::EmulateDot(TileDotKind::kBf16, 0, 1, 2);
  EXPECT_EQ(SumAt(0, 0), 400);  // adds
  testing::EmulateRelease();
}

TEST(TileEmulator, AddsEvenAndOddInputsInChainsOfTheirOwn) {
  testing::EmulateConfigure(std::vector<TileConfig>{Config(1, 4, 1, 64, 16, 4)}.data());
  for (int k = 0; k < 32; ++k) SetBf16(2, k / 2, k % 2, 1.F);
  // Evens: 2^24, then 1s that vanish in it one by one. Odds: 1s that grow on their own. One chain
  // over all would lose the odd ones too, pairwise sums would keep all.
  for (int k = 0; k < 32; ++k) SetBf16(1, 0, k, k == 0 ? 0x1p24F : 1.F);
  testing::EmulateDot(TileDotKind::kBf16, 0, 1, 2);
  EXPECT_EQ(SumAt(0, 0), 0x1p24F + 16.F);
  // A step's own sum is added to C once.
  const float start = 0x1p25F;
  std::memcpy(&ThreadTiles().data[0][0][0], &start, 4);
  for (int k = 0; k < 32; ++k) SetBf16(1, 0, k, k < 2 ? 1.F : 0.F);
  testing::EmulateDot(TileDotKind::kBf16, 0, 1, 2);
  EXPECT_EQ(SumAt(0, 0), 0x1p25F);  // + 2 is a tie: to even
  for (int k = 0; k < 32; ++k) SetBf16(1, 0, k, k < 3 ? 1.F : 0.F);
  testing::EmulateDot(TileDotKind::kBf16, 0, 1, 2);
  EXPECT_EQ(SumAt(0, 0), 0x1p25F + 4.F);
  testing::EmulateRelease();
}

TEST(TileEmulator, DenormalsAreZeroAndTheCallersRoundingStays) {
  const uint32_t before = _mm_getcsr();
  testing::EmulateConfigure(std::vector<TileConfig>{Config(1, 4, 1, 4, 1, 4)}.data());
  SetBits(1, 0, 0, 0x0001);  // a denormal bf16, times 2^100
  SetBf16(2, 0, 0, 0x1p100F);
  testing::EmulateDot(TileDotKind::kBf16, 0, 1, 2);
  EXPECT_EQ(SumAt(0, 0), 0.F);
  SetBf16(1, 0, 0, 0x1p-100F);  // a result of 2^-130
  SetBf16(2, 0, 0, 0x1p-30F);
  testing::EmulateDot(TileDotKind::kBf16, 0, 1, 2);
  EXPECT_EQ(SumAt(0, 0), 0.F);
  EXPECT_EQ(_mm_getcsr() & 0xffc0U, before & 0xffc0U);
  testing::EmulateRelease();
}

TEST(TileEmulator, MultipliesBytesOfEverySignedness) {
  struct Case {
    TileDotKind kind;
    int want;
  };
  for (const Case& c : {Case{TileDotKind::kSS, 1}, Case{TileDotKind::kSU, -255},
                        Case{TileDotKind::kUS, -255}, Case{TileDotKind::kUU, 65025}}) {
    testing::EmulateConfigure(std::vector<TileConfig>{Config(1, 4, 1, 64, 16, 4)}.data());
    std::memset(ThreadTiles().data[1][0], 0xff, 64);  // -1 or 255
    for (int r = 0; r < 16; ++r) std::memset(ThreadTiles().data[2][r], 0xff, 4);
    testing::EmulateDot(c.kind, 0, 1, 2);
    int32_t sum = 0;
    std::memcpy(&sum, ThreadTiles().data[0][0], 4);
    EXPECT_EQ(sum, 64 * c.want);
  }
  testing::EmulateRelease();
}

TEST(TileEmulator, FaultsAsTheProcessorWould) {
  const TileConfig good = Config(2, 16, 2, 8, 2, 16);
  const auto with = [&](auto change) {
    TileConfig config = good;
    change(config);
    testing::EmulateConfigure(&config);
  };
  EXPECT_DEATH(with([](TileConfig& c) { c.palette = 2; }), "palette");
  EXPECT_DEATH(with([](TileConfig& c) { c.reserved[3] = 1; }), "reserved");
  EXPECT_DEATH(with([](TileConfig& c) { c.rows[0] = 17; }), "too large");
  EXPECT_DEATH(with([](TileConfig& c) { c.row_bytes[0] = 65; }), "too large");
  EXPECT_DEATH(with([](TileConfig& c) { c.rows[0] = 0; }), "without rows");
  EXPECT_DEATH(with([](TileConfig& c) { c.rows[8] = c.row_bytes[8] = 1; }), "more than 8");
  testing::EmulateRelease();
  EXPECT_DEATH(testing::EmulateZero(0), "no configuration");
  testing::EmulateConfigure(&good);
  EXPECT_DEATH(testing::EmulateZero(3), "not configured");
  EXPECT_DEATH(testing::EmulateDot(TileDotKind::kBf16, 0, 2, 1), "shapes");
  EXPECT_DEATH(testing::EmulateDot(TileDotKind::kBf16, 0, 1, 1), "twice");
  testing::EmulateRelease();
}

// ---- The instructions themselves ----------------------------------------------------------------

bool Traps() { return !UsableCpuFeatures().amx_tile; }

TEST(TileTrap, DecodesEveryInstructionAndAddress) {
  if (!Traps()) GTEST_SKIP() << "this machine has tiles";
  const testing::TileTrap trap;
  const uint64_t before = testing::TileTrap::count();
  TileConfig config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) config.rows[t] = 2, config.row_bytes[t] = 8;
  tile_ops::TileConfigure(config);
  TileConfig back = {};
  asm volatile("sttilecfg %0" : "=m"(back) : : "memory");
  EXPECT_EQ(std::memcmp(&config, &back, sizeof config), 0);
  alignas(64) uint8_t from[400];
  alignas(64) uint8_t to[400];
  for (int i = 0; i < 400; ++i) from[i] = static_cast<uint8_t>(i);
  const auto expect_rows = [&](int first, int second) {
    std::memset(to, 0, sizeof to);
    tile_ops::TileStore<7>(to + 16, 24);
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(to[16 + i], from[first + i]);
      EXPECT_EQ(to[40 + i], from[second + i]);
    }
    EXPECT_EQ(to[15] + to[24] + to[39] + to[48], 0);
    tile_ops::TileZero<7>();
  };
  const uint64_t stride = 100;
  const uint8_t* p = from;
  tile_ops::TileLoad<7>(from + 4, 32);
  expect_rows(4, 36);
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm7" : : "r"(p), "r"(stride) : "memory");
  expect_rows(0, 100);
  asm volatile("tileloadd 3(%0,%1,2), %%tmm7" : : "r"(p), "r"(stride) : "memory");
  expect_rows(3, 203);
  asm volatile("tileloadd 130(%0,%1,1), %%tmm7" : : "r"(p), "r"(stride) : "memory");
  expect_rows(130, 230);
  asm volatile("mov %0, %%r13\n mov %1, %%r12\n tileloadd (%%r13,%%r12,1), %%tmm7"
               : : "r"(p), "r"(stride) : "r12", "r13", "memory");
  expect_rows(0, 100);
  asm volatile("mov %0, %%r12\n mov %1, %%r13\n tileloadd -1(%%r12,%%r13,1), %%tmm7"
               : : "r"(p + 9), "r"(stride) : "r12", "r13", "memory");
  expect_rows(8, 108);
  asm volatile("tileloadd (%0), %%tmm7" : : "r"(p + 5) : "memory");  // no index: a stride of 0
  expect_rows(5, 5);
  tile_ops::TileRelease();
  EXPECT_EQ(ThreadTiles().config.palette, 0);
  EXPECT_EQ(testing::TileTrap::count() - before, 1 + 1 + 7 + 7 * 2 + 1u);
}

TEST(TileTrap, ProductsNameTheirTilesInOrder) {
  if (!Traps()) GTEST_SKIP() << "this machine has tiles";
  const testing::TileTrap trap;
  TileConfig config = {};
  config.palette = 1;
  // Shapes that fit in one order only: C 3 × 5, A 3 × 2 pairs, B 2 × 5.
  config.rows[6] = 3, config.row_bytes[6] = 20;
  config.rows[1] = 3, config.row_bytes[1] = 8;
  config.rows[4] = 2, config.row_bytes[4] = 20;
  tile_ops::TileConfigure(config);
  std::memset(ThreadTiles().data[1][2], 0xff, 8);
  for (int r = 0; r < 2; ++r) std::memset(ThreadTiles().data[4][r], 0xff, 20);
  const auto sum = [] {
    int32_t v = 0;
    std::memcpy(&v, ThreadTiles().data[6][2] + 16, 4);
    std::memset(ThreadTiles().data[6], 0, sizeof ThreadTiles().data[6]);
    return v;
  };
  asm volatile("tdpbssd %tmm4, %tmm1, %tmm6");
  EXPECT_EQ(sum(), 8);
  asm volatile("tdpbsud %tmm4, %tmm1, %tmm6");
  EXPECT_EQ(sum(), -8 * 255);
  asm volatile("tdpbusd %tmm4, %tmm1, %tmm6");
  EXPECT_EQ(sum(), -8 * 255);
  asm volatile("tdpbuud %tmm4, %tmm1, %tmm6");
  EXPECT_EQ(sum(), 8 * 255 * 255);
  for (int k = 0; k < 4; ++k) SetBf16(1, 2, k, 2.F), SetBf16(4, k / 2, 8 + k % 2, 0.5F);
  tile_ops::TileDot<6, 1, 4>();
  float v = 0;
  std::memcpy(&v, ThreadTiles().data[6][2] + 16, 4);
  EXPECT_EQ(v, 4.F);
  tile_ops::TileRelease();
}

TEST(TileTrap, OtherIllegalInstructionsStillEndTheProcess) {
  EXPECT_DEATH(
      {
        const testing::TileTrap trap;
        __builtin_trap();
      },
      "no tile instruction");
}

// ---- Tables on tiles ----------------------------------------------------------------------------

TEST(TileDefinition, RoundsWeightsAndActivationsAndNothingElse) {
  const int n = 20;
  const int k = 96;
  for (const DType type : testing::kAllTypes) {
    if (tensor::InfoOf(type).block_elems > 32) continue;
    if (type == DType::kF16 || type == DType::kF32) continue;  // not on tiles
    const auto rows = testing::RandomRows(type, n, k, 21);
    const auto owned = testing::PackAll(type, rows, n, k);
    std::vector<float> w(static_cast<size_t>(n) * k);
    tensor::DequantizeRow(type, rows.data(), static_cast<int64_t>(n) * k, w.data());
    const auto x = testing::RandomFloats(k, 22);
    std::vector<float> y(n);
    testing::AlignedBytes q(kRefBf16Table.quantized_row_bytes(k));
    kRefBf16Table.quantize_rows(x.data(), k, 1, k, q.data());
    if (kRefBf16Table.takes_quantized(owned.matrix)) {
      kRefBf16Table.gemm_int(owned.matrix, q.data(), 1, y.data(), n, 0, 2);
    } else {
      kRefBf16Table.gemm_float(owned.matrix, x.data(), k, 1, y.data(), n, 0, 2);
    }
    for (int c = 0; c < n; ++c) {
      double truth = 0;
      double size = 0;
      for (int i = 0; i < k; ++i) {
        const auto round = [](float v) { return tensor::F32FromBF16(tensor::BF16FromF32(v)); };
        truth += static_cast<double>(round(x[i])) * w[c * k + i];
        size += std::fabs(static_cast<double>(x[i]) * w[c * k + i]);
      }
      // Weights are rounded by 2^-9 of themselves, each its own way.
      EXPECT_NEAR(y[c], truth, size * 0x1p-10) << tensor::InfoOf(type).name << ' ' << c;
    }
  }
}

TEST(TileDefinition, LargeFiniteActivationsStayFinite) {
  const auto rows = testing::RandomRows(DType::kQ8_0, 16, 32, 23);
  const auto owned = testing::PackAll(DType::kQ8_0, rows, 16, 32);
  std::vector<float> x(32, 0.F);
  x[3] = std::numeric_limits<float>::max();  // rounds to infinity in bf16
  testing::AlignedBytes q(kRefBf16Table.quantized_row_bytes(32));
  kRefBf16Table.quantize_rows(x.data(), 32, 1, 32, q.data());
  uint16_t bits = 0;
  std::memcpy(&bits, q.data() + 6, 2);
  EXPECT_EQ(bits, 0x7f7f);
}

TEST(TileTables, RowsShareNoCacheSetsWithTheirNeighbours) {
  for (const int k : {1, 64, 576, 2048, 8192}) EXPECT_EQ(TileRowBytes(k) / 64 % 2, 1u) << k;
}

class TileTables : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  TileTables() {
    if (Traps()) trap_ = std::make_unique<testing::TileTrap>();
  }
  std::unique_ptr<testing::TileTrap> trap_;
};

// Row blocks of every kind: one tile of few rows, two, whole ones, one that repeats rows, and more
// rows than one unpacking serves. Depths: a part of a chunk, whole chunks, both.
TEST_P(TileTables, EveryRowCountAndDepthGivesTheDefinitionsBits) {
  for (const int k : {32, 256, 288, 800}) {
    const int n = 49;
    const auto rows = testing::RandomRows(DType::kQ4_1, n, k, 24);
    const auto owned = testing::PackAll(DType::kQ4_1, rows, n, k);
    const int m_max = k == 288 ? 291 : 70;
    const auto x = testing::RandomFloats(static_cast<size_t>(m_max) * k, 25);
    const auto product = [&](const KernelTable& t, const float* from, int m) {
      std::vector<float> y(static_cast<size_t>(m) * n);
      testing::AlignedBytes q(static_cast<size_t>(PaddedRows(m)) * t.quantized_row_bytes(k));
      t.quantize_rows(from, k, m, k, q.data());
      t.gemm_int(owned.matrix, q.data(), m, y.data(), n, 0, 4);
      return y;
    };
    const auto truth = product(DefinitionOf(*GetParam()), x.data(), m_max);
    for (const int m : {1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 70, 256, 257, 291}) {
      if (m > m_max) continue;
      const auto mine = product(*GetParam(), x.data(), m);
      EXPECT_EQ(std::memcmp(mine.data(), truth.data(), mine.size() * 4), 0) << k << ' ' << m;
    }
  }
}

TEST_P(TileTables, FewerRowsThanASecondLevelCacheHoldsAreUnpackedFor) {
  const int k = 65536;  // 13 rows would be 1.5 MiB
  const int n = 3;
  const auto rows = testing::RandomRows(DType::kQ8_0, n, k, 26);
  const auto owned = testing::PackAll(DType::kQ8_0, rows, n, k);
  const int m = 37;
  const auto x = testing::RandomFloats(static_cast<size_t>(m) * k, 27);
  testing::AlignedBytes q(static_cast<size_t>(PaddedRows(m)) * GetParam()->quantized_row_bytes(k));
  GetParam()->quantize_rows(x.data(), k, m, k, q.data());
  std::vector<float> y(static_cast<size_t>(m) * n);
  std::vector<float> truth(y.size());
  GetParam()->gemm_int(owned.matrix, q.data(), m, y.data(), n, 0, 1);
  const KernelTable& definition = DefinitionOf(*GetParam());
  testing::AlignedBytes plain(static_cast<size_t>(PaddedRows(m)) * definition.quantized_row_bytes(k));
  definition.quantize_rows(x.data(), k, m, k, plain.data());
  definition.gemm_int(owned.matrix, plain.data(), m, truth.data(), n, 0, 1);
  EXPECT_EQ(std::memcmp(y.data(), truth.data(), y.size() * 4), 0);
}

TEST_P(TileTables, TakeBf16MatricesAsTheyAre) {
  const KernelTable& table = *GetParam();
  if (table.definition == nullptr) GTEST_SKIP() << "integers only";
  const int k = 320;
  const auto rows = testing::RandomRows(DType::kBF16, 18, k, 28);
  const auto owned = testing::PackAll(DType::kBF16, rows, 18, k);
  ASSERT_TRUE(table.takes_quantized(owned.matrix));
  const auto x = testing::RandomFloats(static_cast<size_t>(9) * k, 29);
  std::vector<float> y(static_cast<size_t>(9) * 18);
  std::vector<float> truth(y.size());
  testing::AlignedBytes q(16 * table.quantized_row_bytes(k));
  table.quantize_rows(x.data(), k, 9, k, q.data());
  table.gemm_int(owned.matrix, q.data(), 9, y.data(), 18, 0, 2);
  DefinitionOf(table).gemm_int(owned.matrix, q.data(), 9, truth.data(), 18, 0, 2);
  EXPECT_EQ(std::memcmp(y.data(), truth.data(), y.size() * 4), 0);
}

TEST_P(TileTables, GatedProductsGiveTheBitsOfTheirSteps) {
  const KernelTable& table = *GetParam();
  if (table.gates == nullptr) GTEST_SKIP() << "the table has none";
  for (const DType type : {DType::kQ4_1, DType::kQ8_0, DType::kBF16}) {
    const int n = 192, k = 288, m_max = 70;
    const auto gate_rows = testing::RandomRows(type, n, k, 40);
    const auto up_rows = testing::RandomRows(type, n, k, 41, 0.3F);  // of another post_scale
    const auto gate = testing::PackAll(type, gate_rows, n, k);
    const auto up = testing::PackAll(type, up_rows, n, k);
    ASSERT_TRUE(table.gates(gate.matrix, up.matrix));
    const auto x = testing::RandomFloats(static_cast<size_t>(m_max) * k, 42);
    for (const bool gelu : {false, true}) {
      for (const int m : {1, 16, 17, 33, m_max}) {
        testing::AlignedBytes q(static_cast<size_t>(PaddedRows(m)) * table.quantized_row_bytes(k));
        table.quantize_rows(x.data(), k, m, k, q.data());
        std::vector<float> g(static_cast<size_t>(m) * n), u(g.size());
        table.gemm_int(gate.matrix, q.data(), m, g.data(), n, 0, n / 16);
        table.gemm_int(up.matrix, q.data(), m, u.data(), n, 0, n / 16);
        (gelu ? table.gelu_tanh_mul : table.silu_mul)(g.data(), u.data(), m * n, g.data());
        const size_t row = table.quantized_row_bytes(n);
        testing::AlignedBytes truth(static_cast<size_t>(m) * row), mine(static_cast<size_t>(m) * row);
        table.quantize_rows(g.data(), n, m, n, truth.data());
        table.gemm_gated(gate.matrix, up.matrix, q.data(), m, gelu, mine.data(), 0, 5);
        table.gemm_gated(gate.matrix, up.matrix, q.data(), m, gelu, mine.data(), 5, n / 16);
        EXPECT_EQ(std::memcmp(truth.data(), mine.data(), truth.size()), 0) << m << ' ' << gelu;
      }
    }
  }
  const auto small = testing::RandomRows(DType::kQ4_0, 48, 64, 43);
  const auto odd = testing::PackAll(DType::kQ4_0, small, 48, 64);
  EXPECT_FALSE(table.gates(odd.matrix, odd.matrix)) << "outputs that are no whole blocks of inputs";
}

// The real table, where there are tiles.
std::vector<const KernelTable*> RealTileTables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : AllTables()) {
    const bool tiles = table->name == "amx" || table->name == "amx_int8";
    if (tiles && !Traps() && table->usable(UsableCpuFeatures())) tables.push_back(table);
  }
  return tables;
}

TEST_P(TileTables, LeaveNoConfigurationBehindOnAnyThread) {
  const auto rows = testing::RandomRows(DType::kQ4_0, 16, 64, 30);
  const auto owned = testing::PackAll(DType::kQ4_0, rows, 16, 64);
  const auto x = testing::RandomFloats(17 * 64, 31);
  const auto use = [&] {
    // Another library's tiles, which our call may end but must not trip over.
    const TileConfig other = Config(2, 16, 2, 8, 2, 16);
    if (Traps()) testing::EmulateConfigure(&other);
    testing::AlignedBytes q(32 * GetParam()->quantized_row_bytes(64));
    GetParam()->quantize_rows(x.data(), 64, 17, 64, q.data());
    float y[17 * 16];
    GetParam()->gemm_int(owned.matrix, q.data(), 17, y, 16, 0, 1);
    EXPECT_EQ(ThreadTiles().config.palette, 0);
  };
  use();
  std::thread(use).join();
}

TEST_P(TileTables, PassTheSelfCheckBitForBit) {
  EXPECT_EQ(CompareWithDefinition(*GetParam()), Agreement::kBits);
  EXPECT_TRUE(ChecksOut(*GetParam()));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TileTables);
INSTANTIATE_TEST_SUITE_P(Real, TileTables, ::testing::ValuesIn(RealTileTables()),
                         [](const auto& info) { return std::string(info.param->name); });
INSTANTIATE_TEST_SUITE_P(Emulated, TileTables,
                         ::testing::ValuesIn(testing::EmulatedTables(UsableCpuFeatures())),
                         [](const auto& info) { return std::string(info.param->name); });

// ---- The self-check -----------------------------------------------------------------------------

void Spoil(float* y, int m, int64_t ldy, float factor) {
  for (int r = 0; r < m; ++r) y[r * ldy + 42] *= factor;
}

TEST(SelfCheck, RefusesATableThatIsWrongAndNamesOneThatOnlyRoundsOtherwise) {
  KernelTable table = kRefBf16Table;
  table.definition = &kRefBf16Table;
  EXPECT_EQ(CompareWithDefinition(table), Agreement::kBits);
  // One output of the last panel off by a thousandth.
  table.gemm_int = [](const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                      int begin, int end) {
    kRefBf16Table.gemm_int(w, x, m, y, ldy, begin, end);
    Spoil(y, m, ldy, 1.001F);
  };
  EXPECT_EQ(CompareWithDefinition(table), Agreement::kWrong);
  EXPECT_FALSE(ChecksOut(table));
  table.gemm_int = [](const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                      int begin, int end) {
    kRefBf16Table.gemm_int(w, x, m, y, ldy, begin, end);
    Spoil(y, m, ldy, 1.F + 0x1p-23F);
  };
  EXPECT_EQ(CompareWithDefinition(table), Agreement::kClose);
  EXPECT_TRUE(ChecksOut(table));
  KernelTable exact = kRefTable;
  exact.gemm_int = [](const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                      int begin, int end) {
    kRefTable.gemm_int(w, x, m, y, ldy, begin, end);
    Spoil(y, m, ldy, 1.F + 0x1p-23F);
  };
  EXPECT_FALSE(ChecksOut(exact));  // integers leave no room
  // A row that knows how many there are.
  table.gemm_int = [](const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                      int begin, int end) {
    kRefBf16Table.gemm_int(w, x, m, y, ldy, begin, end);
    if (m == 23) Spoil(y, m, ldy, 1.F + 0x1p-23F);
  };
  EXPECT_EQ(CompareWithDefinition(table), Agreement::kWrong);
  table.gemm_int = [](const PackedMatrix& w, const std::byte* x, int m, float* y, int64_t ldy,
                      int begin, int end) {
    kRefBf16Table.gemm_int(w, x, m, y, ldy, begin, end);
    Spoil(y, m, ldy, std::numeric_limits<float>::quiet_NaN());
  };
  EXPECT_EQ(CompareWithDefinition(table), Agreement::kWrong);
}

}  // namespace
}  // namespace pelton::kernels
