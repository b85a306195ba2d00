#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "base/checked.h"

namespace pelton {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

std::string ErrnoText(int error) { return std::generic_category().message(error); }

Status OpenError(const std::string& path, int error) {
  const std::string text = path + ": " + ErrnoText(error);
  if (error == ENOENT || error == ENOTDIR) return NotFound(text);
  if (error == EACCES || error == EPERM) return PermissionDenied(text);
  return FailedPrecondition(text);
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return OpenError(path, errno);
  struct stat info {};
  const int stat_error = fstat(fd, &info) == 0 ? 0 : errno;
  if (stat_error != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    if (stat_error != 0) return OpenError(path, stat_error);
    return FailedPrecondition(path + (S_ISDIR(info.st_mode) ? ": is a folder, not a file"
                                                            : ": is not a regular file"));
  }
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<size_t>(info.st_size);
  file.identity_ = IdentityFrom(info);
  if (file.size_ > 0) {
    void* mapping = mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int map_error = errno;
    if (mapping == MAP_FAILED) {
      close(fd);
      return OpenError(path, map_error);
    }
    file.data_ = static_cast<const std::byte*>(mapping);
  }
  close(fd);
  return file;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  std::swap(identity_, other.identity_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::DropPages(size_t offset, size_t length) const {
  static const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (data_ == nullptr || offset >= size_) return;
  const size_t end = length > size_ - offset ? size_ : offset + length;
  const size_t first = (offset + page - 1) / page * page;  // whole pages only: edges may be shared
  const size_t last = end == size_ ? end : end / page * page;
  if (last <= first) return;
  madvise(const_cast<std::byte*>(data_ + first), last - first, MADV_DONTNEED);
}

Result<HugeBuffer> HugeBuffer::Allocate(size_t bytes) {
  HugeBuffer buffer;
  if (bytes == 0) return buffer;
  const bool huge = bytes >= kHugePage;
  const auto rounded = CheckedAlignUp(bytes, huge ? kHugePage : size_t{4096});
  const auto total = rounded ? CheckedAdd(*rounded, huge ? kHugePage : size_t{0}) : std::nullopt;
  if (!total) return ResourceExhausted("buffer of " + std::to_string(bytes) + " bytes is too large");
  void* mapping =
      mmap(nullptr, *total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    return ResourceExhausted("cannot get " + std::to_string(bytes) +
                             " bytes of memory: " + ErrnoText(errno));
  }
  const auto address = reinterpret_cast<uintptr_t>(mapping);
  const size_t shift = huge ? (kHugePage - address % kHugePage) % kHugePage : 0;
  buffer.mapping_ = mapping;
  buffer.mapping_size_ = *total;
  buffer.data_ = static_cast<std::byte*>(mapping) + shift;
  buffer.size_ = bytes;
  if (huge) madvise(buffer.data_, *rounded, MADV_HUGEPAGE);
  return buffer;
}

HugeBuffer& HugeBuffer::operator=(HugeBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_size_, other.mapping_size_);
  return *this;
}

HugeBuffer::~HugeBuffer() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_size_);
}

}  // namespace pelton
