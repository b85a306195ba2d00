#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "kernels/test_weights.h"
#include "nn/linear.h"
#include "nn/ops.h"
#include "nn/team.h"
#include "tensor/quantize.h"

namespace pelton::nn {
namespace {

using kernels::testing::RandomFloats;
using kernels::testing::RandomRows;
using tensor::DType;

const kernels::KernelTable& Best() { return *kernels::ChooseTable(UsableCpuFeatures(), ""); }

TEST(Team, EveryPieceRunsExactlyOnce) {
  for (const int threads : {1, 2, 5}) {
    Team team({.threads = threads, .pin = false});
    for (const int64_t n : {0, 1, 7, 1000}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
        team.ParallelFor(n, grain, [&](int64_t begin, int64_t end, int worker) {
          EXPECT_LT(worker, threads);
          EXPECT_LE(end - begin, grain);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (const auto& count : seen) EXPECT_EQ(count.load(), 1);
      }
    }
  }
}

TEST(Team, ManySmallJobsAndPausesLoseNothing) {
  Team team({.threads = 3, .pin = false, .spin_us = 20});
  std::atomic<int64_t> total{0};
  std::mt19937 random(1);
  for (int job = 0; job < 3000; ++job) {
    team.ParallelFor(5, 1, [&](int64_t begin, int64_t end, int) { total += end - begin; });
    if (job % 300 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 400));
  }
  EXPECT_EQ(total.load(), 15000);
}

TEST(Team, MorePiecesThanTheTicketHoldsAreMadeLarger) {
  Team team({.threads = 2, .pin = false});
  std::atomic<int64_t> total{0};
  team.ParallelFor(int64_t{1} << 21, 1,
                   [&](int64_t begin, int64_t end, int) { total += end - begin; });
  EXPECT_EQ(total.load(), int64_t{1} << 21);
}

// A model that loads must not freeze those that run.
TEST(Team, ATurnYieldsToWhoeverWaits) {
  Team team({.threads = 2, .pin = false});
  std::atomic<bool> wants{false}, had{false};
  Team::Turn turn(team);
  turn.Yield();  // nobody waits: goes on at once
  std::jthread other([&] {
    wants.store(true);
    const Team::Turn second(team);
    had.store(true);
  });
  for (int i = 0; i < 5000 && !had.load(); ++i) {
    if (wants.load()) turn.Yield();
    team.ParallelFor(64, 1, [](int64_t, int64_t, int) {});  // the turn is held again
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(had.load());
}

// A quota that shrinks takes threads away and gives them back, also in the middle of work.
TEST(Team, LimitsMayChangeAtAnyTimeAndNoPieceIsLost) {
  Team team({.threads = 3, .pin = false, .spin_us = 20});
  std::atomic<bool> stop{false};
  std::jthread changer([&] {
    for (int i = 0; !stop.load(); ++i) {
      team.SetLimits(1 + i % 3, i % 2 == 0 ? 0 : 50);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  std::vector<std::atomic<int>> runs(257);
  for (int job = 0; job < 4000; ++job) {
    team.ParallelFor(257, 1, [&](int64_t begin, int64_t end, int worker) {
      ASSERT_LT(worker, 3);
      for (int64_t i = begin; i < end; ++i) ++runs[static_cast<size_t>(i)];
    });
  }
  stop.store(true);
  changer.join();
  for (const auto& count : runs) EXPECT_EQ(count.load(), 4000);
}

TEST(Team, BenchedWorkersTakeNoPieceAndNoTime) {
  Team team({.threads = 3, .pin = false, .spin_us = 1'000'000});  // would spin for a second
  team.SetLimits(1, 1'000'000);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto cpu_s = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  const double before_s = cpu_s();
  for (int job = 0; job < 20; ++job) {
    team.ParallelFor(64, 1, [](int64_t, int64_t, int worker) { ASSERT_EQ(worker, 0); });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_LT(cpu_s() - before_s, 0.1);  // two spinning workers would take 0.4 s
  EXPECT_EQ(team.active(), 1);
  team.SetLimits(0, 0);
  EXPECT_EQ(team.active(), 1);
  team.SetLimits(99, 0);
  EXPECT_EQ(team.active(), 3);
}

TEST(Team, TurnsGoInOrderOfArrivalAndExcludeEachOther) {
  Team team({.threads = 2, .pin = false});
  std::atomic<int> inside{0};
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> engines;
  for (int e = 0; e < 3; ++e) {
    engines.emplace_back([&] {
      for (int step = 0; step < 200; ++step) {
        Team::Turn turn(team);
        EXPECT_EQ(inside.fetch_add(1), 0);
        team.ParallelFor(8, 1, [&](int64_t begin, int64_t, int) { sum += begin; });
        inside.fetch_sub(1);
      }
    });
  }
  for (auto& engine : engines) engine.join();
  EXPECT_EQ(sum.load(), 3 * 200 * 28);
}

TEST(Linear, ProductsDoNotDependOnThreadsRowsOrCompany) {
  const int k = 512;
  const int m = 21;
  const auto x = RandomFloats(static_cast<size_t>(m) * k, 1);
  struct Case {
    DType type;
    int n;
  };
  const Case cases[] = {{DType::kQ4_1, 100}, {DType::kQ6_K, 35}, {DType::kF16, 48}};
  std::vector<std::vector<float>> first;
  for (const int threads : {1, 2}) {
    Team team({.threads = threads, .pin = false});
    Team::Turn turn(team);
    std::vector<Linear> weights;
    uint64_t bytes = 0;
    for (const Case& c : cases) {
      weights.push_back(Linear::Plan(c.type, c.n, k));
      bytes += WeightArena::Rounded(weights.back().PackedBytes());
    }
    auto arena = WeightArena::Create(bytes);
    ASSERT_TRUE(arena.ok());
    std::vector<std::vector<float>> y;
    std::vector<Product> products;
    for (size_t i = 0; i < weights.size(); ++i) {
      const auto rows = RandomRows(cases[i].type, cases[i].n, k, 7);
      uint64_t told = 0;
      weights[i].Pack(cases[i].type, rows.data(), arena->Take(weights[i].PackedBytes()), team,
                      [&](uint64_t done) { told += done; });
      EXPECT_EQ(told, rows.size());
      y.emplace_back(static_cast<size_t>(m) * cases[i].n);
    }
    for (size_t i = 0; i < weights.size(); ++i) {
      products.push_back({&weights[i], y[i].data(), cases[i].n});
    }
    auto activations = Activations::Create(Best(), m, k);
    ASSERT_TRUE(activations.ok());
    activations->Load(team, x.data(), k, m, k);
    Multiply(team, *activations, products);
    if (first.empty()) {
      first = y;
      // Row 13 alone gives the same bits.
      std::vector<float> alone(100);
      const Product one{&weights[0], alone.data(), 100};
      activations->Load(team, x.data() + 13 * k, k, 1, k);
      Multiply(team, *activations, {&one, 1});
      for (int i = 0; i < 100; ++i) EXPECT_EQ(alone[i], y[0][13 * 100 + i]);
    } else {
      EXPECT_EQ(first, y);
    }
  }
}

// Quantising while packing is quantising, then packing; and packed bytes may come from elsewhere.
TEST(Linear, FloatsArePackedAsTheTypeThatWasPlanned) {
  constexpr int kRows = 37, kInputs = 96;
  Team team({.threads = 2, .pin = false});
  Team::Turn turn(team);
  for (const DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
    const std::vector<std::byte> floats = RandomRows(DType::kBF16, kRows, kInputs, 3);
    const size_t row_bytes = *tensor::RowBytes(type, kInputs);
    std::vector<std::byte> quantized(kRows * row_bytes);
    std::vector<float> row(kInputs);
    for (int r = 0; r < kRows; ++r) {
      tensor::DequantizeRow(DType::kBF16, floats.data() + r * kInputs * 2, kInputs, row.data());
      tensor::QuantizeRow(type, row.data(), kInputs, quantized.data() + r * row_bytes);
    }
    Linear want = Linear::Plan(type, kRows, kInputs), got = want;
    const uint64_t bytes = WeightArena::Rounded(want.PackedBytes());
    auto arena = WeightArena::Create(2 * bytes);
    ASSERT_TRUE(arena.ok());
    std::byte* first = arena->Take(bytes);
    std::byte* second = arena->Take(bytes);
    want.Pack(type, quantized.data(), first, team, {});
    got.Pack(DType::kBF16, floats.data(), second, team, {});
    EXPECT_EQ(std::memcmp(first, second, bytes), 0) << tensor::InfoOf(type).name;
    Linear adopted = Linear::Plan(type, kRows, kInputs);
    adopted.Adopt(first, want.matrix().post_scale);
    std::vector<float> a(kInputs), b(kInputs);
    adopted.UnpackRow(36, a.data());
    got.UnpackRow(36, b.data());
    EXPECT_EQ(a, b);
  }
}

TEST(RopeTable, HoldsCosAndSinOfAbsolutePositionsAcrossChunks) {
  RopeTable rope({1.0, 0.01}, 2000);
  rope.Ensure(1500);
  for (const int p : {0, 511, 512, 1499}) {
    EXPECT_EQ(rope.Cos(p)[0], static_cast<float>(std::cos(p * 1.0)));
    EXPECT_EQ(rope.Sin(p)[1], static_cast<float>(std::sin(p * 0.01)));
  }
}

// Two sequences through rope, KV and attention: the rows of the second do not feel the first, the
// number of threads, or where a prompt was cut.
TEST(Ops, AttentionOfASequenceIsTheSameAloneCutAndInCompany) {
  const int heads = 6, kv_heads = 2, head_dim = 32, n = 90;
  const int width = heads * head_dim;
  const int kv_width = kv_heads * head_dim;
  const auto q0 = RandomFloats(static_cast<size_t>(n) * width, 3);
  const auto k0 = RandomFloats(static_cast<size_t>(n) * kv_width, 4);
  const auto v0 = RandomFloats(static_cast<size_t>(n) * kv_width, 5);
  const size_t block_bytes = kernels::KvBlockBytes(kv_heads, head_dim);
  const int32_t blocks[] = {3, 1, 0, 7, 2, 5};
  const int32_t other_blocks[] = {4, 6};
  const auto& table = Best();
  auto run = [&](int threads, std::vector<int> cuts, bool company) {
    Team team({.threads = threads, .pin = false});
    Team::Turn turn(team);
    kernels::testing::AlignedBytes kv(block_bytes * 8);
    RopeTable rope({1, 0.5, 0.25, 0.1}, 1000);
    const KvLayer layer{kv.data(), block_bytes, kv_heads, head_dim};
    std::vector<float> result;
    int at = 0;
    for (const int rows : cuts) {
      const int extra = company ? 20 : 0;
      std::vector<float> q = RandomFloats(static_cast<size_t>(extra) * width, 8);
      std::vector<float> k = RandomFloats(static_cast<size_t>(extra) * kv_width, 9);
      std::vector<float> v = RandomFloats(static_cast<size_t>(extra) * kv_width, 10);
      q.insert(q.end(), q0.begin() + at * width, q0.begin() + (at + rows) * width);
      k.insert(k.end(), k0.begin() + at * kv_width, k0.begin() + (at + rows) * kv_width);
      v.insert(v.end(), v0.begin() + at * kv_width, v0.begin() + (at + rows) * kv_width);
      std::vector<RowSpan> spans;
      if (company) spans.push_back({0, extra, 5, other_blocks});
      spans.push_back({extra, rows, at, blocks});
      RopeRows(table, team, rope, kernels::RopeStyle::kHalves, spans, q.data(), width, heads, head_dim);
      RopeRows(table, team, rope, kernels::RopeStyle::kHalves, spans, k.data(), kv_width, kv_heads, head_dim);
      WriteKvRows(table, team, spans, k.data(), v.data(), kv_width, layer);
      std::vector<float> out(q.size());
      AttentionScratch scratch;
      AttentionRows(table, team, scratch, spans, {.heads = heads, .window = 50, .scale = 0.2f}, q.data(),
                    width, layer, out.data(), width);
      result.insert(result.end(), out.begin() + extra * width, out.end());
      at += rows;
    }
    return result;
  };
  const auto whole = run(1, {n}, false);
  EXPECT_EQ(whole, run(2, {n}, true));
  EXPECT_EQ(whole, run(2, {17, 1, 1, 40, 31}, false));
  EXPECT_EQ(whole, run(1, std::vector<int>(n, 1), true));
}

// A long row is split over the team by segments of positions, with one thread it is not.
TEST(Ops, LongRowsHaveTheSameBitsWithAnyNumberOfThreads) {
  const int heads = 6, kv_heads = 2, head_dim = 32, n = 1300;
  const int width = heads * head_dim;
  const int kv_width = kv_heads * head_dim;
  const size_t block_bytes = kernels::KvBlockBytes(kv_heads, head_dim);
  kernels::testing::AlignedBytes kv(block_bytes * (n / 16 + 1));
  const KvLayer layer{kv.data(), block_bytes, kv_heads, head_dim};
  std::vector<int32_t> blocks(n / 16 + 1);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<int32_t>(blocks.size() - 1 - i);
  const auto& table = Best();
  const RowSpan all{0, n, 0, blocks.data()};
  const std::vector<RowSpan> rows = {{0, 1, n - 1, blocks.data()}, {1, 1, 511, blocks.data()},
                                     {2, 1, 3, blocks.data()}};
  const auto q = RandomFloats(static_cast<size_t>(3) * width, 20);
  auto run = [&](int threads, int window, size_t count) {
    Team team({.threads = threads, .pin = false});
    Team::Turn turn(team);
    const auto k = RandomFloats(static_cast<size_t>(n) * kv_width, 21);
    const auto v = RandomFloats(static_cast<size_t>(n) * kv_width, 22);
    WriteKvRows(table, team, {&all, 1}, k.data(), v.data(), kv_width, layer);
    AttentionScratch scratch;
    std::vector<float> out(count * width);
    for (int again = 0; again < 2; ++again) {
      AttentionRows(table, team, scratch, std::span(rows).first(count),
                    {.heads = heads, .window = window, .scale = 0.2f}, q.data(), width, layer,
                    out.data(), width);
    }
    return out;
  };
  for (const int window : {0, 600}) {
    for (const size_t count : {size_t{1}, size_t{3}}) {
      const auto alone = run(1, window, count);
      EXPECT_EQ(alone, run(2, window, count)) << window << ' ' << count;
      EXPECT_EQ(alone, run(4, window, count)) << window << ' ' << count;
    }
  }
}

}  // namespace
}  // namespace pelton::nn
