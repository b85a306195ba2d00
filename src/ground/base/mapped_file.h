// A read-only mapping of a whole file, and large private buffers.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/disk_file.h"
#include "base/status.h"

namespace pelton {

// Thread-compatible; moved, never copied. A file that is cut while mapped raises SIGBUS on access:
// documented, and why model files are opened read-only and must not be edited in place.
class MappedFile {
 public:
  // Refuses anything that is not a regular file (FIFOs and devices would block or never end).
  static Result<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  const FileIdentity& identity() const { return identity_; }  // when it was opened

  // Tells the kernel that the pages of [offset, offset+length) are no longer needed here.
  void DropPages(size_t offset, size_t length) const;

 private:
  MappedFile() = default;

  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
  FileIdentity identity_;
};

// Zeroed anonymous memory, 2 MiB-aligned with huge pages asked for when at least 2 MiB large,
// otherwise 64-byte-aligned to a page. Thread-compatible.
class HugeBuffer {
 public:
  HugeBuffer() = default;
  // RESOURCE_EXHAUSTED when the kernel refuses.
  static Result<HugeBuffer> Allocate(size_t bytes);

  HugeBuffer(HugeBuffer&& other) noexcept { *this = std::move(other); }
  HugeBuffer& operator=(HugeBuffer&& other) noexcept;
  ~HugeBuffer();

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  void* mapping_ = nullptr;
  size_t mapping_size_ = 0;
};

}  // namespace pelton
