#include "base/disk_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "base/plain_file.h"

namespace pelton {
namespace {

Status FileError(const std::string& path, int error) {
  const std::string text = path + ": " + std::generic_category().message(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR: return NotFound(text);
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP: return PermissionDenied(text);
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ResourceExhausted(text);
    default: return FailedPrecondition(text);
  }
}

int64_t Nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

// Bytes read, fewer only at the end of the file or, for a direct read, of what can be read so.
ssize_t ReadAll(int fd, uint64_t offset, std::span<std::byte> into) {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = pread(fd, into.data() + done, into.size() - done,
                              static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

Status ReadWhole(int fd, uint64_t offset, std::span<std::byte> into) {
  const ssize_t got = ReadAll(fd, offset, into);
  if (got < 0) return DataLoss(std::generic_category().message(errno));
  if (static_cast<size_t>(got) != into.size()) return DataLoss("the file ends early");
  return OkStatus();
}

// What the page cache has from `offset` on, in whole kDirectAlign units.
size_t ReadCached(int fd, uint64_t offset, std::span<std::byte> into) {
  size_t done = 0;
  while (done < into.size()) {
    const iovec part{into.data() + done, into.size() - done};
    const ssize_t got = preadv2(fd, &part, 1, static_cast<off_t>(offset + done), RWF_NOWAIT);
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done / OwnFile::kDirectAlign * OwnFile::kDirectAlign;
}

void SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

}  // namespace

FileIdentity IdentityFrom(const struct stat& info) {
  return {.device = static_cast<uint64_t>(info.st_dev), .inode = static_cast<uint64_t>(info.st_ino),
          .bytes = static_cast<uint64_t>(info.st_size), .modified_ns = Nanoseconds(info.st_mtim),
          .changed_ns = Nanoseconds(info.st_ctim)};
}

Result<FileIdentity> IdentityOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return FileError(path, errno);
  return IdentityFrom(info);
}

Status MakePrivateFolder(const std::string& path) {
  for (size_t slash = path.find('/', 1); ; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    struct stat info {};
    const bool there = stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    if (!there && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
      return FileError(folder, errno);
    }
    if (slash == std::string::npos) return OkStatus();
  }
}

uint64_t FreeBytesAt(const std::string& folder) {
  struct statvfs info {};
  if (statvfs(folder.c_str(), &info) != 0) return 0;
  return static_cast<uint64_t>(info.f_bavail) * static_cast<uint64_t>(info.f_frsize);
}

Result<OwnFile> OwnFile::Open(const std::string& path) {
  constexpr int kFlags = O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;
  OwnFile file;
  file.fd_ = open(path.c_str(), O_RDWR | kFlags);
  if (file.fd_ < 0 && (errno == EROFS || errno == EACCES)) {
    file.fd_ = open(path.c_str(), O_RDONLY | kFlags);
  }
  if (file.fd_ < 0) return FileError(path, errno);
  struct stat info {};
  if (fstat(file.fd_, &info) != 0) return FileError(path, errno);
  if (!S_ISREG(info.st_mode)) return FailedPrecondition(path + ": is not a regular file");
  if (info.st_uid != geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return PermissionDenied(path + ": is not this user's alone");
  }
  file.bytes_ = static_cast<uint64_t>(info.st_size);
  // By descriptor, so that it is this file whatever the name says by now.
  const std::string self = "/proc/self/fd/" + std::to_string(file.fd_);
  file.direct_fd_ = open(self.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  return file;
}

OwnFile& OwnFile::operator=(OwnFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(direct_fd_, other.direct_fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

OwnFile::~OwnFile() {
  if (fd_ >= 0) close(fd_);
  if (direct_fd_ >= 0) close(direct_fd_);
}

Status OwnFile::Read(uint64_t offset, std::span<std::byte> into) const {
  return ReadWhole(fd_, offset, into);
}

Status OwnFile::ReadLarge(uint64_t offset, std::span<std::byte> into) const {
  DCHECK(offset % kDirectAlign == 0 && into.size() % kDirectAlign == 0, "unaligned direct read");
  size_t done = ReadCached(fd_, offset, into);
  if (done < into.size() && direct_fd_ >= 0) {
    const ssize_t got = ReadAll(direct_fd_, offset + done, into.subspan(done));
    if (got > 0) done += static_cast<size_t>(got);
  }
  if (done == into.size()) return OkStatus();
  const Status rest = Read(offset + done, into.subspan(done));
  posix_fadvise(fd_, static_cast<off_t>(offset + done), static_cast<off_t>(into.size() - done),
                POSIX_FADV_DONTNEED);
  return rest;
}

Status OwnFile::Patch(uint64_t offset, std::span<const std::byte> bytes) const {
  if (offset > bytes_ || bytes.size() > bytes_ - offset) return OutOfRange("behind the file");
  const ssize_t put = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (put == static_cast<ssize_t>(bytes.size())) return OkStatus();
  return FailedPrecondition(std::generic_category().message(put < 0 ? errno : ENOSPC));
}

void OwnFile::Touch() const {
  const timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  futimens(fd_, times);
}

Result<PlainFile> PlainFile::Open(const std::string& path) {
  PlainFile file;
  file.fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd_ < 0) return FileError(path, errno);
  struct stat info {};
  if (fstat(file.fd_, &info) != 0) return FileError(path, errno);
  if (!S_ISREG(info.st_mode)) return FailedPrecondition(path + ": is not a regular file");
  return file;
}

PlainFile::~PlainFile() {
  if (fd_ >= 0) close(fd_);
}

Result<FileIdentity> PlainFile::identity() const {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return FileError("fstat", errno);
  return IdentityFrom(info);
}

Status PlainFile::Read(uint64_t offset, std::span<std::byte> into) const {
  return ReadWhole(fd_, offset, into);
}

void PlainFile::DropCached() const { posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

Result<PartialFile> PartialFile::Create(const std::string& path) {
  PartialFile file;
  file.path_ = path;
  file.partial_ = path + ".partial";
  const int fd = open(file.partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(file.partial_, errno);
  struct stat mine {};
  struct stat named {};
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &mine) != 0 ||
      stat(file.partial_.c_str(), &named) != 0 || mine.st_ino != named.st_ino) {
    close(fd);
    return Status(StatusCode::kAborted, "another process is writing it");
  }
  file.fd_ = fd;
  if (!S_ISREG(mine.st_mode) || mine.st_uid != geteuid() || fchmod(fd, 0600) != 0 ||
      ftruncate(fd, 0) != 0) {
    return PermissionDenied(file.partial_ + ": is not this user's own file");
  }
  return file;
}

PartialFile& PartialFile::operator=(PartialFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(partial_, other.partial_);
  return *this;
}

PartialFile::~PartialFile() {
  if (fd_ < 0) return;
  unlink(partial_.c_str());  // before the lock goes
  close(fd_);
}

Status PartialFile::Write(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = pwrite(fd_, bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return FileError(partial_, put < 0 ? errno : ENOSPC);
    done += static_cast<size_t>(put);
  }
  return OkStatus();
}

void PartialFile::Flush(uint64_t offset, uint64_t bytes) {
  sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                  SYNC_FILE_RANGE_WRITE);
}

Status PartialFile::Commit() {
  if (fsync(fd_) != 0) return FileError(partial_, errno);
  if (rename(partial_.c_str(), path_.c_str()) != 0) return FileError(path_, errno);
  close(fd_);
  fd_ = -1;
  SyncFolderOf(path_);
  return OkStatus();
}

void PartialFile::RemoveIfDead(const std::string& partial_path) {
  const int fd = open(partial_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlink(partial_path.c_str());
  close(fd);
}

}  // namespace pelton
