// Files of the program's own on disk: folders and files that only the user may read, written whole
// or not at all, and read in large pieces by several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/status.h"

struct stat;

namespace pelton {

// What the kernel says of a file. A file with the same values is the same file, unchanged since:
// nothing but the kernel sets changed_ns, and every write and every utimes moves it. (A file that
// changed within its clock's step of the moment of looking is the exception: see models/packed_cache.)
struct FileIdentity {
  uint64_t device = 0, inode = 0, bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};
FileIdentity IdentityFrom(const struct stat& info);
// NOT_FOUND and others as in MappedFile::Open.
Result<FileIdentity> IdentityOf(const std::string& path);

// Makes the folder and those above it, mode 0700. OK when it is there already.
Status MakePrivateFolder(const std::string& path);

// Free bytes of the file system that holds `folder`, for this user; 0 when it cannot be told.
uint64_t FreeBytesAt(const std::string& folder);

// A regular file that belongs to this user and that nobody else may write. Thread-safe.
class OwnFile {
 public:
  // PERMISSION_DENIED for a file of somebody else, or one that others may write.
  static Result<OwnFile> Open(const std::string& path);
  OwnFile(OwnFile&& other) noexcept { *this = std::move(other); }
  OwnFile& operator=(OwnFile&& other) noexcept;
  ~OwnFile();

  uint64_t bytes() const { return bytes_; }
  // Exactly `into.size()` bytes from `offset`, through the page cache. DATA_LOSS when there are fewer.
  Status Read(uint64_t offset, std::span<std::byte> into) const;
  // The same for a large piece: what the page cache has comes from there, the rest from the disk
  // past it, so that no second copy of the file stays in memory. `offset`, the size and the address
  // are multiples of kDirectAlign.
  Status ReadLarge(uint64_t offset, std::span<std::byte> into) const;
  // Overwrites bytes in place; never makes the file longer.
  Status Patch(uint64_t offset, std::span<const std::byte> bytes) const;
  void Touch() const;  // its last use, as the modification time, is now

  static constexpr size_t kDirectAlign = 4096;

 private:
  OwnFile() = default;
  int fd_ = -1;
  int direct_fd_ = -1;  // without the page cache; -1 where the file system has no such thing
  uint64_t bytes_ = 0;
};

// A file that appears under its name when it is whole, and not at all otherwise. Written under
// "<name>.partial", which is locked, so that one process at a time writes it and a dead one's is
// found. Owned by one thread.
class PartialFile {
 public:
  // ABORTED when another process writes it just now.
  static Result<PartialFile> Create(const std::string& path);
  PartialFile(PartialFile&& other) noexcept { *this = std::move(other); }
  PartialFile& operator=(PartialFile&& other) noexcept;
  ~PartialFile();  // removes it unless committed

  Status Write(uint64_t offset, std::span<const std::byte> bytes);
  // Starts writing [offset, offset + bytes) to the disk, so that Commit has little left to wait for.
  void Flush(uint64_t offset, uint64_t bytes);
  Status Commit();  // to the disk, then under its name

  // Removes a "….partial" that no process writes.
  static void RemoveIfDead(const std::string& partial_path);

 private:
  PartialFile() = default;
  int fd_ = -1;
  std::string path_, partial_;
};

}  // namespace pelton
