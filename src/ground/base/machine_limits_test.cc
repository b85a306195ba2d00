// Limits are read from a made-up machine, so that both versions of control groups and every kind of
// nesting can be tested on any one.
#include "base/machine_limits.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/cpu_watch.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class FakeMachine : public testing::Test {
 protected:
  FakeMachine()
      : folder_(fs::path(testing::TempDir()) /
                (std::string("pelton_machine_") +
                 testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::remove_all(folder_);
    root_ = {folder_ / "proc", folder_ / "cgroup"};
    Write("proc/meminfo", "MemTotal:       8388608 kB\nMemFree:  1 kB\nMemAvailable:   4194304 kB\n");
    Write("proc/self/statm", "1000 256 0 0 0 0 0");
  }
  ~FakeMachine() override { fs::remove_all(folder_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << text;
  }

  const fs::path folder_;
  SystemRoot root_;
};

TEST_F(FakeMachine, WithoutControlGroupsTheMachineIsTheLimit) {
  EXPECT_FALSE(CgroupCpuQuota(root_));
  const MemoryState memory = ReadMemoryState(root_);
  EXPECT_EQ(memory.limit_bytes, 8192 * kMiB);
  EXPECT_EQ(memory.available_bytes, 4096 * kMiB);
  EXPECT_FALSE(memory.limited_by_cgroup);
  EXPECT_EQ(ReadCpuThrottling(root_).throttled_us, 0u);
}

TEST_F(FakeMachine, QuotaOfV2IsTheTightestOfTheGroupAndThoseAbove) {
  Write("proc/self/cgroup", "0::/pod/container\n");
  Write("cgroup/cpu.max", "max 100000");
  Write("cgroup/pod/cpu.max", "50000 100000");
  Write("cgroup/pod/container/cpu.max", "200000 100000");
  EXPECT_DOUBLE_EQ(*CgroupCpuQuota(root_), 0.5);
  Write("cgroup/pod/cpu.max", "max 100000");
  EXPECT_DOUBLE_EQ(*CgroupCpuQuota(root_), 2.0);
  Write("cgroup/pod/container/cpu.max", "max 100000");
  EXPECT_FALSE(CgroupCpuQuota(root_));
}

TEST_F(FakeMachine, QuotaOfV1IsReadAlsoWhereThePathIsTheHosts) {
  Write("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n");
  Write("cgroup/cpu/cpu.cfs_quota_us", "150000");  // the container's own, seen as the mount's root
  Write("cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_DOUBLE_EQ(*CgroupCpuQuota(root_), 1.5);
  Write("cgroup/cpu/cpu.cfs_quota_us", "-1");
  EXPECT_FALSE(CgroupCpuQuota(root_));
}

TEST_F(FakeMachine, NonsenseInTheFilesIsNoLimit) {
  Write("proc/self/cgroup", "nonsense\n::\n0::/x");
  for (const char* text : {"", "max", "0 100000", "-5 100000", "100000 0", "abc def", "\n"}) {
    Write("cgroup/x/cpu.max", text);
    EXPECT_FALSE(CgroupCpuQuota(root_)) << text;
  }
  for (const char* text : {"", "max", "abc", "-1", "0"}) {
    Write("cgroup/x/memory.max", text);
    EXPECT_EQ(ReadMemoryState(root_).limit_bytes, 8192 * kMiB) << text;
  }
}

TEST_F(FakeMachine, ThreadsAreTheWholeCpusOfTheQuotaAndAtLeastOne) {
  Write("proc/self/cgroup", "0::/\n");
  Write("cgroup/cpu.max", "50000 100000");
  CpuBudget budget = ReadCpuBudget(root_);
  EXPECT_EQ(budget.threads, 1);
  EXPECT_EQ(budget.scarce(), true);
  Write("cgroup/cpu.max", "99999999 100000");
  budget = ReadCpuBudget(root_);
  EXPECT_EQ(budget.threads, budget.cpus);
  EXPECT_FALSE(budget.scarce());
}

TEST_F(FakeMachine, MemoryOfV2CountsFilePagesAsFree) {
  Write("proc/self/cgroup", "0::/a/b\n");
  Write("cgroup/a/memory.max", std::to_string(600 * kMiB));
  Write("cgroup/a/memory.current", std::to_string(500 * kMiB));
  Write("cgroup/a/memory.stat", "anon 1\ninactive_file 209715200\nactive_file 104857600\n");
  Write("cgroup/a/b/memory.max", "max");
  const MemoryState memory = ReadMemoryState(root_);
  EXPECT_EQ(memory.limit_bytes, 600 * kMiB);
  EXPECT_EQ(memory.available_bytes, 400 * kMiB);  // 600 - (500 - 200 - 100)
  EXPECT_TRUE(memory.limited_by_cgroup);
}

TEST_F(FakeMachine, MemoryOfV1AndItsWordForUnlimited) {
  Write("proc/self/cgroup", "4:memory:/jobs\n");
  Write("cgroup/memory/jobs/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_FALSE(ReadMemoryState(root_).limited_by_cgroup);
  Write("cgroup/memory/jobs/memory.limit_in_bytes", std::to_string(100 * kMiB));
  Write("cgroup/memory/jobs/memory.usage_in_bytes", std::to_string(120 * kMiB));
  const MemoryState memory = ReadMemoryState(root_);
  EXPECT_EQ(memory.limit_bytes, 100 * kMiB);
  EXPECT_EQ(memory.available_bytes, 0u);
}

TEST_F(FakeMachine, TheWatchTellsOfAChangedQuotaOnce) {
  Write("proc/self/cgroup", "0::/\n");
  std::vector<CpuBudget> seen;
  CpuWatch watch([&](const CpuBudget& budget) { seen.push_back(budget); }, /*interval_ms=*/0,
                 root_);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_FALSE(seen[0].quota);
  Write("cgroup/cpu.max", "50000 100000");
  watch.Look(1);
  watch.Look(2);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].threads, 1);
  Write("cgroup/cpu.max", "max 100000");
  watch.Look(3);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[2].threads, seen[0].threads);
}

TEST_F(FakeMachine, ThrottlingIsCountedFromTheStartAndWarnedOfOnceAMinute) {
  constexpr int64_t kSecond = 1'000'000'000;
  Write("proc/self/cgroup", "0::/\n");
  Write("cgroup/cpu.stat", "nr_periods 10\nnr_throttled 5\nthrottled_usec 1000000\n");
  CpuWatch watch({}, /*interval_ms=*/0, root_);
  EXPECT_EQ(watch.throttling().throttled_us, 0u);
  const int64_t start = int64_t{1} << 60;
  EXPECT_FALSE(watch.Look(start));  // nothing more since the start
  Write("cgroup/cpu.stat", "nr_periods 20\nnr_throttled 9\nthrottled_usec 2000000\n");
  EXPECT_TRUE(watch.Look(start + 2 * kSecond));  // half of the time
  EXPECT_EQ(watch.throttling().throttled_periods, 4u);
  EXPECT_EQ(watch.throttling().throttled_us, 1'000'000u);
  Write("cgroup/cpu.stat", "nr_periods 40\nnr_throttled 19\nthrottled_usec 4000000\n");
  EXPECT_FALSE(watch.Look(start + 4 * kSecond));  // within the minute
  Write("cgroup/cpu.stat", "nr_periods 50\nnr_throttled 19\nthrottled_usec 4050000\n");
  EXPECT_FALSE(watch.Look(start + 70 * kSecond));  // too little to speak of
  Write("cgroup/cpu.stat", "nr_periods 60\nnr_throttled 29\nthrottled_usec 9000000\n");
  EXPECT_TRUE(watch.Look(start + 80 * kSecond));
}

TEST_F(FakeMachine, ThrottlingOfV1IsInNanoseconds) {
  Write("proc/self/cgroup", "1:cpu:/g\n");
  Write("cgroup/cpu/g/cpu.stat", "nr_periods 4\nnr_throttled 2\nthrottled_time 7000000\n");
  EXPECT_EQ(ReadCpuThrottling(root_).throttled_us, 7000u);
  EXPECT_EQ(ReadCpuThrottling(root_).throttled_periods, 2u);
}

}  // namespace
}  // namespace pelton
