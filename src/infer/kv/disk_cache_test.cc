#include "kv/disk_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/random.h"

namespace pelton::kv {
namespace {

namespace fs = std::filesystem;

constexpr int kTokens = 4;
constexpr size_t kData = 1000;

class DiskCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pelton-disk-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    folder_ = root_ + "/state/prefix-cache";
  }
  void TearDown() override {
    cache_.reset();
    fs::remove_all(root_);
  }

  void Open(uint64_t bytes_max = 1 << 20, size_t staged_max = 1 << 20, size_t queued_max = 1 << 20) {
    cache_.reset();
    auto opened = DiskCache::Open({.folder = folder_, .bytes_max = bytes_max,
                                   .staged_bytes_max = staged_max, .queued_bytes_max = queued_max});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    cache_ = *std::move(opened);
    hasher_ = std::make_unique<PrefixHasher>(cache_->key(), "model");
  }

  struct Text {
    std::vector<int32_t> tokens;
    TenantSalt salt;
    std::vector<BlockHash> hashes;
  };
  Text TextOf(int blocks, int32_t seed, const std::string& tenant = "a") {
    Text text;
    for (int i = 0; i < blocks * kTokens; ++i) text.tokens.push_back(seed * 1000 + i);
    text.salt = hasher_->SaltOf(tenant);
    BlockHash hash = hasher_->Root(text.salt);
    for (int i = 0; i < blocks; ++i) {
      hash = hasher_->Next(hash, std::span(text.tokens).subspan(size_t(i) * kTokens, kTokens));
      text.hashes.push_back(hash);
    }
    return text;
  }
  static std::vector<std::byte> DataOf(const Text& text, size_t block) {
    return std::vector<std::byte>(kData, static_cast<std::byte>(text.tokens[block * kTokens] % 251));
  }
  void Save(const Text& text, size_t begin = 0) {
    for (size_t i = begin; i < text.hashes.size(); ++i) {
      if (!cache_->Wants(text.hashes[i], kData)) continue;
      DiskWrite write;
      write.hash = text.hashes[i];
      if (i > 0) write.parent = text.hashes[i - 1];
      write.scope = hasher_->scope();
      write.salt = text.salt;
      write.tokens.assign(text.tokens.begin(), text.tokens.begin() + static_cast<long>((i + 1) * kTokens));
      write.block_tokens = kTokens;
      write.data = DataOf(text, i);
      cache_->Write(std::move(write));
    }
    cache_->Flush();
  }
  DiskRun RunOf(const Text& text, int first = 0) {
    return {.tokens = text.tokens, .hashes = {text.hashes.begin() + first, text.hashes.end()},
            .first = first, .block_tokens = kTokens, .data_bytes = kData,
            .scope = hasher_->scope(), .salt = text.salt, .wake = {}};
  }
  // Blocks of `text` from `first` on that come back, checked.
  int Load(const Text& text, int first = 0) {
    auto read = cache_->Read(RunOf(text, first));
    if (!read) return -1;
    int count = 0;
    bool more = true;
    for (int tries = 0; more && tries < 20000; ++tries) {
      const auto data = cache_->Take(*read, &more);
      if (!data) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        continue;
      }
      EXPECT_TRUE(std::ranges::equal(*data, DataOf(text, static_cast<size_t>(first + count))));
      ++count;
    }
    EXPECT_FALSE(more);
    cache_->End(*read);
    return count;
  }
  std::string PathOf(const Text& text, size_t block) const {
    return folder_ + "/blocks/" + DiskFileName(text.hashes[block]);
  }
  int Mode(const std::string& path) const {
    struct stat facts{};
    return stat(path.c_str(), &facts) == 0 ? static_cast<int>(facts.st_mode & 07777) : -1;
  }

  std::string root_, folder_;
  std::unique_ptr<DiskCache> cache_;
  std::unique_ptr<PrefixHasher> hasher_;
};

TEST_F(DiskCacheTest, BlocksSurviveTheProcess) {
  Open();
  const Text text = TextOf(5, 1);
  Save(text);
  EXPECT_EQ(cache_->Stats().written, 5u);
  Open();
  EXPECT_EQ(cache_->CountPresent(text.hashes, 0), 5);
  EXPECT_EQ(cache_->CountPresent(text.hashes, 2), 3);
  EXPECT_EQ(Load(text), 5);
  EXPECT_EQ(Load(text, 3), 2);
  EXPECT_EQ(cache_->Stats().read, 7u);
  EXPECT_FALSE(cache_->Wants(text.hashes[0], kData));
}

TEST_F(DiskCacheTest, OnlyTheOwnerCanReadIt) {
  Open();
  const Text text = TextOf(1, 1);
  Save(text);
  EXPECT_EQ(Mode(folder_), 0700);
  EXPECT_EQ(Mode(folder_ + "/blocks"), 0700);
  EXPECT_EQ(Mode(folder_ + "/key"), 0600);
  EXPECT_EQ(Mode(PathOf(text, 0)), 0600);
  // A folder that others may read is closed to them.
  cache_.reset();
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  Open();
  EXPECT_EQ(Mode(folder_), 0700);
}

TEST_F(DiskCacheTest, DropsDamagedCutAndForeignFilesAndCountsThem) {
  Open();
  const Text text = TextOf(4, 1), other = TextOf(1, 2);
  Save(text);
  Save(other);
  {
    std::fstream file(PathOf(text, 1), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(500);
    file.put('x');
  }
  EXPECT_EQ(Load(text), 1);  // up to the damaged one
  EXPECT_EQ(cache_->Stats().damaged, 1u);
  EXPECT_FALSE(fs::exists(PathOf(text, 1)));
  EXPECT_EQ(cache_->CountPresent(text.hashes, 0), 1);
  fs::resize_file(PathOf(text, 2), 700);
  EXPECT_EQ(Load(text, 2), 0);
  EXPECT_EQ(cache_->Stats().damaged, 2u);
  // Another block under this one's name.
  fs::rename(PathOf(other, 0), PathOf(text, 3));
  EXPECT_EQ(Load(text, 3), 0);
  EXPECT_EQ(cache_->Stats().damaged, 3u);
  // What does not look like a block goes when the folder is opened.
  std::ofstream(folder_ + "/blocks/hello") << "x";
  std::ofstream(folder_ + "/blocks/" + std::string(32, 'a')) << "short";
  std::ofstream(folder_ + "/blocks/.new") << "unfinished";
  Open();
  EXPECT_EQ(cache_->Stats().damaged, 2u);
  EXPECT_FALSE(fs::exists(folder_ + "/blocks/hello"));
  EXPECT_FALSE(fs::exists(folder_ + "/blocks/.new"));
  EXPECT_EQ(cache_->Stats().files, 1u);
}

TEST_F(DiskCacheTest, FollowsNoLinks) {
  Open();
  const Text text = TextOf(1, 1);
  Save(text);
  const std::string secret = root_ + "/secret";
  std::ofstream(secret) << "not ours";
  fs::remove(PathOf(text, 0));
  fs::create_symlink(secret, PathOf(text, 0));
  EXPECT_EQ(Load(text), 0);
  EXPECT_TRUE(fs::exists(secret));
  cache_.reset();
  fs::rename(folder_, root_ + "/elsewhere");
  fs::create_symlink(root_ + "/elsewhere", folder_);
  EXPECT_EQ(DiskCache::Open({.folder = folder_, .bytes_max = 1000}).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(DiskCacheTest, WithoutItsKeyNothingIsBelieved) {
  Open();
  const Text text = TextOf(2, 1);
  Save(text);
  cache_.reset();
  fs::resize_file(folder_ + "/key", 31);
  Open();
  EXPECT_EQ(cache_->Stats().files, 0u);
  EXPECT_EQ(cache_->Stats().damaged, 2u);
  EXPECT_FALSE(fs::exists(PathOf(text, 0)));
}

TEST_F(DiskCacheTest, KeepsItsCapAndDropsTheEndOfTheOldestText) {
  Open();
  const Text old = TextOf(3, 1), young = TextOf(3, 2);
  Save(old);
  Save(young);
  const uint64_t used = cache_->Stats().bytes;
  EXPECT_EQ(cache_->CountPresent(old.hashes, 0), 3);  // used again: the younger one now
  Open(used);
  Save(TextOf(1, 3));
  EXPECT_LE(cache_->Stats().bytes, used);
  EXPECT_EQ(cache_->Stats().evicted, 1u);
  EXPECT_EQ(cache_->CountPresent(young.hashes, 0), 2);
  EXPECT_EQ(cache_->CountPresent(old.hashes, 0), 3);
  Open(used / 2);
  EXPECT_LE(cache_->Stats().bytes, used / 2);
  EXPECT_FALSE(cache_->Wants(TextOf(1, 9).hashes[0], used));  // larger than half the cap
}

TEST_F(DiskCacheTest, AFullQueueDropsAndCounts) {
  auto opened = DiskCache::Open({.folder = folder_, .bytes_max = 1 << 20, .own_thread = false,
                                 .queued_bytes_max = 2 * kData + 16});
  ASSERT_TRUE(opened.ok());
  cache_ = *std::move(opened);
  hasher_ = std::make_unique<PrefixHasher>(cache_->key(), "model");
  const Text text = TextOf(2, 1);
  const auto write = [&](size_t i) {
    DiskWrite one;
    one.hash = text.hashes[i];
    one.tokens.assign(text.tokens.begin(), text.tokens.begin() + kTokens);
    one.block_tokens = kTokens;
    one.data = cache_->Buffer(kData);
    cache_->Write(std::move(one));
  };
  EXPECT_TRUE(cache_->Wants(text.hashes[0], 3 * kData));  // one is taken whatever its size
  write(0);
  EXPECT_FALSE(cache_->Wants(text.hashes[0], kData));  // it is queued
  EXPECT_TRUE(cache_->Wants(text.hashes[1], kData));
  EXPECT_FALSE(cache_->Wants(text.hashes[1], kData + 1));
  EXPECT_EQ(cache_->Stats().skipped, 1u);
  EXPECT_TRUE(cache_->Work());
  EXPECT_FALSE(cache_->Work());
  EXPECT_FALSE(cache_->Wants(text.hashes[0], kData));  // it is there
}

TEST_F(DiskCacheTest, ReadsNoFurtherAheadThanItMayStage) {
  Open(1 << 20, /*staged_max=*/2500);
  const Text text = TextOf(6, 1);
  Save(text);
  auto read = cache_->Read(RunOf(text));
  ASSERT_NE(read, nullptr);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE(cache_->Stats().read, 2u);
  cache_->End(*read);
  EXPECT_EQ(Load(text), 6);
}

TEST_F(DiskCacheTest, ARunThatIsEndedWakesNobody) {
  Open();
  const Text text = TextOf(6, 1);
  Save(text);
  for (int i = 0; i < 50; ++i) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    DiskRun run = RunOf(text);
    run.wake = [raw = alive.get()] { raw->fetch_add(1); };
    auto read = cache_->Read(std::move(run));
    ASSERT_NE(read, nullptr);
    if (i % 2 == 0) std::this_thread::yield();
    cache_->End(*read);
    alive.reset();  // a later wake would write into it
  }
}

TEST_F(DiskCacheTest, RefusesRunsThatMakeNoSense) {
  Open();
  const Text text = TextOf(3, 1);
  DiskRun run = RunOf(text);
  run.block_tokens = 0;
  EXPECT_EQ(cache_->Read(run), nullptr);
  run = RunOf(text);
  run.first = 1;
  EXPECT_EQ(cache_->Read(run), nullptr);
  run = RunOf(text);
  run.data_bytes = kDiskDataBytesMax + 1;
  EXPECT_EQ(cache_->Read(run), nullptr);
  std::vector<std::shared_ptr<DiskRead>> reads;
  while (auto read = cache_->Read(RunOf(text))) reads.push_back(std::move(read));
  EXPECT_EQ(reads.size(), 64u);
  for (const auto& read : reads) cache_->End(*read);
  EXPECT_EQ(Load(text), 0);
}

TEST_F(DiskCacheTest, OneProcessAtATime) {
  Open();
  EXPECT_EQ(DiskCache::Open({.folder = folder_, .bytes_max = 1000}).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(WipeDiskFolder(folder_).status().code(), StatusCode::kFailedPrecondition);
  const Text text = TextOf(2, 1);
  Save(text);
  cache_.reset();
  EXPECT_EQ(ShowDiskFolder(folder_)->files, 2u);
  EXPECT_EQ(WipeDiskFolder(folder_)->files, 2u);
  EXPECT_EQ(ShowDiskFolder(folder_)->files, 0u);
  EXPECT_FALSE(fs::exists(folder_ + "/key"));
  EXPECT_EQ(ShowDiskFolder(root_ + "/none").status().code(), StatusCode::kNotFound);
}

TEST_F(DiskCacheTest, AWriteThatTheSystemRefusesIsCountedAndOthersRest) {
  Open();
  const Text text = TextOf(2, 1);
  fs::remove_all(folder_ + "/blocks");
  Save(text);
  EXPECT_GE(cache_->Stats().failed, 1u);
  EXPECT_EQ(cache_->Stats().files, 0u);
  EXPECT_FALSE(cache_->Wants(text.hashes[0], kData));
}

TEST_F(DiskCacheTest, ManyThreadsAtOnce) {
  Open(60'000, 10'000, 20'000);
  std::vector<Text> texts;
  for (int i = 0; i < 8; ++i) texts.push_back(TextOf(8, i));
  std::vector<std::jthread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (int i = 0; i < 60; ++i) {
        const Text& text = texts[random.Below(texts.size())];
        if (random.Below(2) == 0) {
          Save(text);
        } else if (const int present = cache_->CountPresent(text.hashes, 0); present > 0) {
          Load(text);  // checks what it gets
        }
      }
    });
  }
  threads.clear();
  EXPECT_LE(cache_->Stats().bytes, 60'000u);
  EXPECT_EQ(cache_->Stats().damaged, 0u);
}

}  // namespace
}  // namespace pelton::kv
