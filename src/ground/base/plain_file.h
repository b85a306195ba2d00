// Reading somebody's file in pieces, without mapping it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "base/disk_file.h"
#include "base/status.h"

namespace pelton {

// Any regular file, read in pieces without mapping it: one that is cut meanwhile gives an error and
// not SIGBUS, and nothing of it becomes resident. Thread-safe.
class PlainFile {
 public:
  static Result<PlainFile> Open(const std::string& path);
  PlainFile(PlainFile&& other) noexcept { std::swap(fd_, other.fd_); }
  PlainFile& operator=(PlainFile&& other) noexcept { std::swap(fd_, other.fd_); return *this; }
  ~PlainFile();

  Result<FileIdentity> identity() const;  // as it is now
  Status Read(uint64_t offset, std::span<std::byte> into) const;  // DATA_LOSS when there are fewer
  void DropCached() const;  // its pages in the page cache are not needed any more

 private:
  PlainFile() = default;
  int fd_ = -1;
};

}  // namespace pelton
