#include "base/disk_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/fast_hash.h"
#include "base/mapped_file.h"
#include "base/plain_file.h"

namespace pelton {
namespace {

struct TempFolder {
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pelton-disk-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code error;
    std::filesystem::remove_all(path, error);
  }
  std::string path;
};

std::vector<std::byte> Bytes(size_t n) {
  std::vector<std::byte> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i * 131 >> 3);
  return out;
}

TEST(FastHash, EveryBitAndTheLengthAndTheSeedCount) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{200}}) {
    std::vector<std::byte> bytes = Bytes(size);
    const uint64_t hash = FastHash(bytes);
    EXPECT_EQ(hash, FastHash(bytes));
    EXPECT_NE(hash, FastHash(bytes, 1));
    for (size_t bit = 0; bit < size * 8; ++bit) {
      bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      EXPECT_NE(FastHash(bytes), hash) << size << " bytes, bit " << bit;
      bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    }
    bytes.push_back(std::byte{0});
    EXPECT_NE(FastHash(bytes), hash);
  }
}

TEST(FastHash, OrderOfStripesCounts) {
  std::vector<std::byte> bytes = Bytes(128), swapped(128);
  std::memcpy(swapped.data(), bytes.data() + 64, 64);
  std::memcpy(swapped.data() + 64, bytes.data(), 64);
  EXPECT_NE(FastHash(bytes), FastHash(swapped));
}

// The value is part of file formats.
TEST(FastHash, StaysWhatItIs) { EXPECT_EQ(FastHash(Bytes(100)), 9892277343620239973u); }

TEST(PartialFile, AppearsWholeOrNotAtAllAndIsPrivate) {
  const TempFolder folder;
  const std::string path = folder.path + "/a/b/file";
  ASSERT_TRUE(MakePrivateFolder(folder.path + "/a/b").ok());
  const std::vector<std::byte> bytes = Bytes(10000);
  {
    auto file = PartialFile::Create(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    ASSERT_TRUE(file->Write(0, bytes).ok());
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_EQ(PartialFile::Create(path).status().code(), StatusCode::kAborted);  // one writer
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path + "/a/b"));
  auto file = PartialFile::Create(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->Write(0, bytes).ok());
  file->Flush(0, bytes.size());
  ASSERT_TRUE(file->Commit().ok());
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(info.st_size, 10000);
  ASSERT_EQ(stat((folder.path + "/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST(PartialFile, WhatADeadProcessLeftIsWrittenOverOrRemoved) {
  const TempFolder folder;
  const std::string path = folder.path + "/file";
  std::ofstream(path + ".partial") << std::string(9000, 'x');
  std::ofstream(folder.path + "/other.partial") << "x";
  auto file = PartialFile::Create(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  PartialFile::RemoveIfDead(path + ".partial");  // it is alive
  PartialFile::RemoveIfDead(folder.path + "/other.partial");
  EXPECT_TRUE(std::filesystem::exists(path + ".partial"));
  EXPECT_FALSE(std::filesystem::exists(folder.path + "/other.partial"));
  ASSERT_TRUE(file->Write(0, Bytes(10)).ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(std::filesystem::file_size(path), 10u);
}

TEST(OwnFile, ReadsLargeAndSmallAndStopsAtTheEnd) {
  const TempFolder folder;
  const std::string path = folder.path + "/file";
  const std::vector<std::byte> bytes = Bytes(3 * 4096);
  auto partial = PartialFile::Create(path);
  ASSERT_TRUE(partial.ok() && partial->Write(0, bytes).ok() && partial->Commit().ok());
  auto file = OwnFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->bytes(), bytes.size());
  auto buffer = HugeBuffer::Allocate(3 * 4096);
  ASSERT_TRUE(buffer.ok());
  for (const bool cached : {true, false}) {
    if (!cached) {
      const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
      close(fd);
    }
    std::memset(buffer->data(), 0, 3 * 4096);
    ASSERT_TRUE(file->ReadLarge(4096, {buffer->data(), 2 * 4096}).ok());
    EXPECT_EQ(std::memcmp(buffer->data(), bytes.data() + 4096, 2 * 4096), 0);
    EXPECT_EQ(file->ReadLarge(4096, {buffer->data(), 3 * 4096}).code(), StatusCode::kDataLoss);
  }
  std::vector<std::byte> some(100);
  ASSERT_TRUE(file->Read(bytes.size() - 100, some).ok());
  EXPECT_EQ(std::memcmp(some.data(), bytes.data() + bytes.size() - 100, 100), 0);
  EXPECT_EQ(file->Read(bytes.size() - 99, some).code(), StatusCode::kDataLoss);
  EXPECT_TRUE(file->Patch(bytes.size() - 100, some).ok());
  EXPECT_EQ(file->Patch(bytes.size() - 99, some).code(), StatusCode::kOutOfRange);
}

TEST(OwnFile, WhatOthersMayWriteIsNotRead) {
  const TempFolder folder;
  const std::string path = folder.path + "/file";
  std::ofstream(path) << "bytes";
  chmod(path.c_str(), 0620);
  EXPECT_EQ(OwnFile::Open(path).status().code(), StatusCode::kPermissionDenied);
  chmod(path.c_str(), 0600);
  EXPECT_TRUE(OwnFile::Open(path).ok());
  ASSERT_EQ(symlink(path.c_str(), (folder.path + "/link").c_str()), 0);
  EXPECT_FALSE(OwnFile::Open(folder.path + "/link").ok());
  EXPECT_EQ(OwnFile::Open(folder.path + "/none").status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(OwnFile::Open(folder.path).ok());
}

TEST(PlainFile, ThatIsCutIsAnErrorAndNotASignal) {
  const TempFolder folder;
  const std::string path = folder.path + "/file";
  std::ofstream(path) << std::string(9000, 'x');
  auto file = PlainFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(*file->identity(), *IdentityOf(path));
  std::vector<std::byte> bytes(9000);
  EXPECT_TRUE(file->Read(0, bytes).ok());
  file->DropCached();
  EXPECT_TRUE(file->Read(0, bytes).ok());
  ASSERT_EQ(truncate(path.c_str(), 8999), 0);
  EXPECT_EQ(file->Read(0, bytes).code(), StatusCode::kDataLoss);
  EXPECT_FALSE(PlainFile::Open(folder.path).ok());
}

TEST(FileIdentity, MovesWithEveryChange) {
  const TempFolder folder;
  const std::string path = folder.path + "/file";
  std::ofstream(path) << "one";
  const auto before = IdentityOf(path);
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(*before, *IdentityOf(path));
  usleep(20'000);
  std::ofstream(path) << "two";  // the same length
  const timespec old[2] = {{before->modified_ns / 1'000'000'000, before->modified_ns % 1'000'000'000},
                           {before->modified_ns / 1'000'000'000, before->modified_ns % 1'000'000'000}};
  utimensat(AT_FDCWD, path.c_str(), old, 0);  // as tools do that restore times
  const auto after = IdentityOf(path);
  EXPECT_EQ(after->modified_ns, before->modified_ns);
  EXPECT_EQ(after->inode, before->inode);
  EXPECT_NE(*after, *before);
  EXPECT_EQ(MappedFile::Open(path)->identity(), *after);
}

}  // namespace
}  // namespace pelton
