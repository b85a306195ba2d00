// The folder of the prefix cache: its lock, its key and its block files, as plain operations. No
// memory of what is in it (disk_cache.h has that).
//
//   <folder>/          0700
//     lock             held (flock) by the one process that uses it
//     key              32 random bytes, 0600: without them no file is believed
//     blocks/<hash>    0600, see docs/formats/prefix-cache.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "base/status.h"
#include "kv/prefix_hash.h"

namespace pelton::kv {

class DiskFolder {  // thread-safe once opened: every call is a few system calls
 public:
  DiskFolder() = default;
  DiskFolder(DiskFolder&& other) noexcept { *this = std::move(other); }
  DiskFolder& operator=(DiskFolder&& other) noexcept;
  ~DiskFolder();

  // NOT_FOUND when it is not there and not to be made; FAILED_PRECONDITION when it is no folder of
  // this user's own.
  static Result<DiskFolder> Open(const std::string& path, bool make);
  Status Lock();  // FAILED_PRECONDITION when another process has it
  // *fresh: it has just been drawn, because there was none or it was damaged.
  Result<ServerKey> Key(bool* fresh);

  // Every file among the blocks, whatever its name; left-overs of unfinished writes are deleted.
  void Visit(const std::function<void(const std::string& name, uint64_t bytes, int64_t changed_ns)>&
                 visit) const;
  // Fills `bytes` with the whole file. *there: it exists (but may not have that length).
  Status Load(const std::string& name, std::span<std::byte> bytes, bool* there) const;
  // Writes under another name, then renames: a reader sees the whole file or none.
  Status Store(const std::string& name, std::span<const std::byte> head,
               std::span<const std::byte> body, std::span<const std::byte> tail) const;
  void Delete(const std::string& name) const;
  void SetTime(const std::string& name, int64_t changed_ns) const;
  void DeleteKey() const;

 private:
  std::string path_;
  int folder_ = -1;
  int blocks_ = -1;
  int lock_ = -1;
};

// For `pelton cache`: the folder without a server. NOT_FOUND when there is none.
struct DiskFolderFacts {
  uint64_t files = 0, bytes = 0;
};
Result<DiskFolderFacts> ShowDiskFolder(const std::string& path);
// Deletes blocks and key and says what was there. FAILED_PRECONDITION while a process uses it.
Result<DiskFolderFacts> WipeDiskFolder(const std::string& path);

}  // namespace pelton::kv
