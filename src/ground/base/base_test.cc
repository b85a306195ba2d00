#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>

#include "base/bounded_queue.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/mapped_file.h"
#include "base/random.h"
#include "base/status.h"
#include "base/thread.h"

namespace pelton {
namespace {

TEST(Status, CarriesCodeMessageParamAndRetryAfter) {
  const Status s = InvalidArgument("must be positive").WithParam("n");
  EXPECT_FALSE(s.ok());
  EXPECT_EQ(s.param(), "n");
  EXPECT_EQ(s.ToString(), "INVALID_ARGUMENT: must be positive");
  EXPECT_EQ(s.Prefixed("body").message(), "body: must be positive");
  EXPECT_EQ(s.Prefixed("body").param(), "n");
  const Status busy = Unavailable("full").WithRetryAfter(250);
  EXPECT_EQ(busy.retry_after_ms(), 250);
}

Result<int> Half(int v) {
  if (v % 2 != 0) return InvalidArgument("odd");
  return v / 2;
}

Status NeedsEven(int v) {
  RETURN_IF_ERROR(Half(v));
  return OkStatus();
}

TEST(Result, HoldsAValueOrAnError) {
  EXPECT_EQ(Half(4).value(), 2);
  EXPECT_EQ(Half(3).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(NeedsEven(2).ok());
  EXPECT_EQ(NeedsEven(1).message(), "odd");
}

TEST(ResultDeathTest, RefusesAnOkStatus) {
  EXPECT_DEATH((void)Result<int>(OkStatus()), "needs a value or an error");
}

TEST(Checked, FindsOverflowOnBothSidesOfTheLimit) {
  EXPECT_EQ(CheckedAdd<uint64_t>(~0ULL - 1, 1), ~0ULL);
  EXPECT_FALSE(CheckedAdd<uint64_t>(~0ULL, 1));
  EXPECT_FALSE(CheckedMul<uint64_t>(1ULL << 32, 1ULL << 32));
  EXPECT_EQ(CheckedMul<uint64_t>(1ULL << 31, 1ULL << 32), 1ULL << 63);
  EXPECT_FALSE(CheckedSub<uint64_t>(0, 1));
  EXPECT_EQ((CheckedCast<int32_t>(int64_t{2147483647})), 2147483647);
  EXPECT_FALSE((CheckedCast<int32_t>(int64_t{2147483648})));
  EXPECT_FALSE((CheckedCast<uint32_t>(int64_t{-1})));
  EXPECT_EQ(CheckedAlignUp<uint64_t>(33, 32), 64u);
  EXPECT_EQ(CheckedAlignUp<uint64_t>(64, 32), 64u);
  EXPECT_FALSE(CheckedAlignUp<uint64_t>(~0ULL, 32));
  EXPECT_FALSE(CheckedAlignUp<uint64_t>(1, 0));
}

TEST(BoundedQueue, RefusesWhenFullAndWhenClosed) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  EXPECT_EQ(queue.Pop(), 1);
  queue.Close();
  EXPECT_FALSE(queue.TryPush(4));
  EXPECT_EQ(queue.Pop(), 2);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueue, PassesItemsBetweenThreads) {
  BoundedQueue<int> queue(8);
  int64_t sum = 0;
  auto consumer = StartThread("consumer", [&](std::stop_token) {
    while (auto item = queue.Pop()) sum += *item;
  });
  for (int i = 1; i <= 1000; ++i) {
    while (!queue.TryPush(int{i})) std::this_thread::yield();
  }
  queue.Close();
  consumer.join();
  EXPECT_EQ(sum, 500500);
}

TEST(Random, IsAFunctionOfSeedAndCounter) {
  EXPECT_EQ(UniformAt(7, 3), UniformAt(7, 3));
  EXPECT_NE(UniformAt(7, 3), UniformAt(7, 4));
  EXPECT_NE(UniformAt(8, 3), UniformAt(7, 3));
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = UniformAt(1, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
  EXPECT_NE(RandomId("x-"), RandomId("x-"));
  EXPECT_EQ(RandomId("x-").size(), 34u);
}

TEST(MappedFile, RefusesWhatIsNotAFileAndSaysWhy) {
  EXPECT_EQ(MappedFile::Open("/no/such/file").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::Open("/dev/zero").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(MappedFile::Open("/tmp").status().message().find("folder"), std::string::npos);
  const std::string fifo = testing::TempDir() + "pelton_fifo_test";
  std::remove(fifo.c_str());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(MappedFile::Open(fifo).ok());  // and does not block
  std::remove(fifo.c_str());
}

TEST(MappedFile, ShowsTheBytesAndAllowsAnEmptyFile) {
  const std::string path = testing::TempDir() + "pelton_mapped_test";
  std::ofstream(path) << "hello";
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->bytes().size(), 5u);
  EXPECT_EQ(static_cast<char>(file->bytes()[4]), 'o');
  file->DropPages(0, 5);
  EXPECT_EQ(static_cast<char>(file->bytes()[0]), 'h');  // dropped pages come back from the file
  std::ofstream(path, std::ios::trunc).flush();
  EXPECT_EQ(MappedFile::Open(path)->bytes().size(), 0u);
  std::remove(path.c_str());
}

TEST(HugeBuffer, IsAlignedZeroedAndRefusesTheAbsurd) {
  auto small = HugeBuffer::Allocate(100);
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small->data()) % 64, 0u);
  auto large = HugeBuffer::Allocate(size_t{5} << 20);
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large->data()) % (2 << 20), 0u);
  EXPECT_EQ(static_cast<int>(large->data()[(5 << 20) - 1]), 0);
  EXPECT_EQ(HugeBuffer::Allocate(~size_t{0}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(HugeBuffer::Allocate(size_t{1} << 60).status().code(), StatusCode::kResourceExhausted);
}

TEST(Cpu, BudgetIsWithinAffinityAndMemoryIsRead) {
  EXPECT_GE(ComputeThreadBudget(), 1);
  EXPECT_LE(ComputeThreadBudget(), static_cast<int>(AffinityCpus().size()));
  const MemoryState memory = ReadMemoryState();
  EXPECT_GT(memory.limit_bytes, 64u << 20);
  EXPECT_GT(memory.resident_bytes, 1u << 20);
  EXPECT_LE(memory.available_bytes, memory.limit_bytes);
  EXPECT_FALSE(CpuModelName().empty());
}

// The bits that Sapphire Rapids sets, and the state components that Linux enables there.
constexpr CpuidWords kSapphireRapids = {
    .leaf1_ecx = 1U << 12 | 1U << 27 | 1U << 29,
    .leaf7_ebx = 1U << 5 | 1U << 16 | 1U << 17 | 1U << 28 | 1U << 30 | 1U << 31,
    .leaf7_ecx = 1U << 11,
    .leaf7_edx = 1U << 22 | 1U << 23 | 1U << 24 | 1U << 25,
    .leaf7_1_eax = 1U << 5};
constexpr uint64_t kAllStates = 0x602e7;

TEST(Cpu, TilesAreUsableOnlyWithCpuidXcr0AndPermissionTogether) {
  const CpuFeatures all = CpuFeaturesOf(kSapphireRapids, kAllStates, true);
  EXPECT_TRUE(all.avx2 && all.avx512 && all.avx512_vnni && all.avx512_bf16 && all.avx512_fp16);
  EXPECT_TRUE(all.amx_tile && all.amx_bf16 && all.amx_int8);
  // The kernel refuses (seccomp, an old kernel, a process that forbade it).
  const CpuFeatures refused = CpuFeaturesOf(kSapphireRapids, kAllStates, false);
  EXPECT_FALSE(refused.amx_tile || refused.amx_bf16 || refused.amx_int8);
  EXPECT_TRUE(refused.avx512_vnni);
  // A hypervisor that shows the bits of CPUID and saves only one of the two states, or none.
  for (const uint64_t missing : {uint64_t{1} << 17, uint64_t{1} << 18, uint64_t{3} << 17}) {
    const CpuFeatures f = CpuFeaturesOf(kSapphireRapids, kAllStates & ~missing, true);
    EXPECT_FALSE(f.amx_tile || f.amx_bf16 || f.amx_int8);
    EXPECT_TRUE(f.avx512_bf16);
  }
  CpuidWords words = kSapphireRapids;
  words.leaf7_edx &= ~(1U << 24);  // amx_bf16 without amx_tile
  EXPECT_FALSE(CpuFeaturesOf(words, kAllStates, true).amx_bf16);
  words = kSapphireRapids;
  words.leaf7_edx &= ~(1U << 22);
  EXPECT_FALSE(CpuFeaturesOf(words, kAllStates, true).amx_bf16);
  EXPECT_TRUE(CpuFeaturesOf(words, kAllStates, true).amx_int8);
  words = kSapphireRapids;
  words.leaf1_ecx &= ~(1U << 27);  // the system saves nothing
  EXPECT_FALSE(CpuFeaturesOf(words, kAllStates, true).avx2);
  EXPECT_FALSE(CpuFeaturesOf(kSapphireRapids, 0x60007, true).avx512);  // tiles need AVX-512 here
  EXPECT_FALSE(CpuFeaturesOf(kSapphireRapids, 0x60007, true).amx_tile);
}

TEST(Cpu, WhatIsUsableIsAdvertised) {
  const CpuFeatures& usable = UsableCpuFeatures();
  const CpuFeatures& advertised = AdvertisedCpuFeatures();
  EXPECT_LE(usable.avx2, advertised.avx2);
  EXPECT_LE(usable.avx512, advertised.avx512);
  EXPECT_LE(usable.amx_tile, advertised.amx_tile);
  EXPECT_LE(usable.amx_bf16, advertised.amx_bf16);
}

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock;
  const int64_t start = clock.NowNs();
  clock.AdvanceNs(5);
  EXPECT_EQ(clock.NowNs() - start, 5);
  const int64_t earlier = NowNs();
  EXPECT_LE(earlier, NowNs());
}

}  // namespace
}  // namespace pelton
