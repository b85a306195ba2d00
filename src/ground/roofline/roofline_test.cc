#include "roofline/roofline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>

#include "base/cpu.h"
#include "roofline/crew.h"
#include "roofline/loops.h"

namespace pelton::roofline {
namespace {

TEST(Crew, EveryThreadRunsEveryTryAndTheBestCounts) {
  std::atomic<int> runs[3] = {};
  const double best = BestTime(3, 0.02, [&](int thread) {
    // The second try is the quick one.
    const int turn = runs[thread]++;
    std::this_thread::sleep_for(std::chrono::milliseconds(turn == 1 ? 2 : 30));
  });
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_EQ(runs[0], runs[2]);
  EXPECT_GE(runs[0], 3);
  EXPECT_GE(best, 0.002);
  EXPECT_LT(best, 0.029);
}

TEST(Reads, EverySizeWithBothPagesAndThreadCounts) {
  std::set<std::string> told;
  const auto speeds =
      MeasureReads({.threads = 2,
                    .seconds = 0.001,
                    .bytes_max = 1 << 20,
                    .progress = [&](std::string_view what) { told.emplace(what); }});
  ASSERT_EQ(speeds.size(), 4u);  // of one size
  for (const ReadSpeed& speed : speeds) {
    EXPECT_GT(speed.bytes_per_s, 1e7) << speed.bytes;
    EXPECT_LT(speed.bytes_per_s, 1e13) << speed.bytes;
  }
  EXPECT_EQ(told, std::set<std::string>{"reading 1 MiB"});
  EXPECT_GT(
      MeasureRead(1 << 20, {.threads = 2, .seconds = 0.001, .bytes_max = 1 << 20, .progress = {}}),
      1e7);
  EXPECT_EQ(MeasureRead(0, {.threads = 2, .seconds = 0.001, .bytes_max = 1 << 20, .progress = {}}),
            0);
}

TEST(Multiplies, WhatIsUsableHereAndNothingElse) {
  const auto speeds =
      MeasureMultiplies({.threads = 2, .seconds = 0.005, .bytes_max = 0, .progress = {}});
  ASSERT_FALSE(speeds.empty());
  const CpuFeatures& features = UsableCpuFeatures();
  std::set<std::string> names;
  for (const MultiplySpeed& speed : speeds) {
    names.emplace(speed.name);
    EXPECT_GT(speed.ops_per_s, 1e7) << speed.name;
    EXPECT_LT(speed.ops_per_s, 1e16) << speed.name;
  }
  EXPECT_EQ(names.contains("avx2_fma_f32"), features.avx2);
  EXPECT_EQ(names.contains("avx512_vnni_i8"), features.avx512_vnni);
  EXPECT_EQ(names.contains("amx_bf16"), features.amx_bf16);
}

// More turns take longer: the loop is not optimised away.
TEST(Multiplies, TimeGrowsWithTheTurns) {
  const auto time = [](int64_t turns) {
    return BestTime(1, 0.02, [&](int) { MultiplyPortable(turns); });
  };
  EXPECT_GT(time(4'000'000), 4 * time(200'000));
#ifdef PELTON_ROOFLINE_X86
  for (const MultiplyLoop& loop : MultiplyLoopsX86()) {
    if (!loop.usable(UsableCpuFeatures())) continue;
    const auto of = [&](int64_t turns) { return BestTime(1, 0.02, [&](int) { loop.run(turns); }); };
    EXPECT_GT(of(400'000), 4 * of(20'000)) << loop.name;
  }
#endif
}

}  // namespace
}  // namespace pelton::roofline
