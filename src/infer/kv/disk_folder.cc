#include "kv/disk_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace pelton::kv {

namespace {

constexpr char kUnfinished[] = ".new";  // one thread writes, so one name is enough
constexpr int64_t kSecondNs = 1'000'000'000;

std::string Why() { return std::strerror(errno); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

bool WriteAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

bool ReadAll(int fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = read(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

// A folder that is this user's and nobody else's to read; `at` and `path` as for openat.
Result<int> OpenOwnFolder(int at, const std::string& path, bool make) {
  if (make && mkdirat(at, path.c_str(), 0700) != 0 && errno != EEXIST) {
    return FailedPrecondition(fmt::format("cannot make {}: {}", path, Why()));
  }
  const int fd = openat(at, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return NotFound(fmt::format("{} does not exist", path));
    return FailedPrecondition(fmt::format("{} is no folder that can be used: {}", path, Why()));
  }
  struct stat facts{};
  const bool own = fstat(fd, &facts) == 0 && facts.st_uid == geteuid();
  if (!own || ((facts.st_mode & 077) != 0 && fchmod(fd, 0700) != 0)) {
    close(fd);
    return FailedPrecondition(
        fmt::format("{} belongs to another user; it would hold prompts", path));
  }
  return fd;
}

}  // namespace

DiskFolder& DiskFolder::operator=(DiskFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(folder_, other.folder_);
  std::swap(blocks_, other.blocks_);
  std::swap(lock_, other.lock_);
  return *this;
}

DiskFolder::~DiskFolder() {
  for (const int fd : {lock_, blocks_, folder_}) {
    if (fd >= 0) close(fd);
  }
}

Result<DiskFolder> DiskFolder::Open(const std::string& path, bool make) {
  if (make) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  }
  DiskFolder folder;
  folder.path_ = path;
  auto fd = OpenOwnFolder(AT_FDCWD, path, make);
  RETURN_IF_ERROR(fd.status());
  folder.folder_ = *fd;
  auto blocks = OpenOwnFolder(folder.folder_, "blocks", make);
  RETURN_IF_ERROR(blocks.status());
  folder.blocks_ = *blocks;
  return folder;
}

Status DiskFolder::Lock() {
  lock_ = openat(folder_, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (lock_ < 0) return FailedPrecondition(fmt::format("cannot lock {}: {}", path_, Why()));
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) return OkStatus();
  return FailedPrecondition(fmt::format("{} is in use by another process", path_));
}

Result<ServerKey> DiskFolder::Key(bool* fresh) {
  *fresh = false;
  ServerKey key{};
  const auto bytes = std::as_writable_bytes(std::span(key));
  {
    const Descriptor file(openat(folder_, "key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat facts{};
    if (file.get() >= 0 && fstat(file.get(), &facts) == 0 && S_ISREG(facts.st_mode) &&
        facts.st_size == static_cast<off_t>(key.size()) && facts.st_uid == geteuid() &&
        (facts.st_mode & 077) == 0 && ReadAll(file.get(), bytes)) {
      return key;
    }
  }
  *fresh = true;
  key = RandomServerKey();
  unlinkat(folder_, "key", 0);
  const Descriptor file(
      openat(folder_, "key", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0 || !WriteAll(file.get(), bytes)) {
    return FailedPrecondition(fmt::format("cannot write the key in {}: {}", path_, Why()));
  }
  return key;
}

void DiskFolder::Visit(
    const std::function<void(const std::string& name, uint64_t bytes, int64_t changed_ns)>& visit)
    const {
  const int fd = openat(blocks_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* folder = fd < 0 ? nullptr : fdopendir(fd);
  if (folder == nullptr) {
    if (fd >= 0) close(fd);
    return;
  }
  while (const dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat facts{};
    if (name == kUnfinished) {
      Delete(name);
    } else if (fstatat(blocks_, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0) {
      const bool regular = S_ISREG(facts.st_mode);
      visit(name, regular ? static_cast<uint64_t>(facts.st_size) : 0,
            facts.st_mtim.tv_sec * kSecondNs + facts.st_mtim.tv_nsec);
    }
  }
  closedir(folder);
}

Status DiskFolder::Load(const std::string& name, std::span<std::byte> bytes, bool* there) const {
  *there = false;
  const Descriptor file(
      openat(blocks_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) {
    *there = errno == ELOOP;  // a link is none of ours
    return NotFound(Why());
  }
  *there = true;
  struct stat facts{};
  if (fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode) ||
      facts.st_size != static_cast<off_t>(bytes.size())) {
    return InvalidArgument("its length is not a block's");
  }
  return ReadAll(file.get(), bytes) ? OkStatus() : InvalidArgument("it cannot be read");
}

Status DiskFolder::Store(const std::string& name, std::span<const std::byte> head,
                         std::span<const std::byte> body, std::span<const std::byte> tail) const {
  unlinkat(blocks_, kUnfinished, 0);
  bool written = false;
  {
    const Descriptor file(
        openat(blocks_, kUnfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    written = file.get() >= 0 && WriteAll(file.get(), head) && WriteAll(file.get(), body) &&
              WriteAll(file.get(), tail);
  }
  if (written && renameat(blocks_, kUnfinished, blocks_, name.c_str()) == 0) return OkStatus();
  const std::string why = Why();
  unlinkat(blocks_, kUnfinished, 0);
  return Unavailable(fmt::format("cannot write in {}: {}", path_, why));
}

void DiskFolder::Delete(const std::string& name) const { unlinkat(blocks_, name.c_str(), 0); }

void DiskFolder::SetTime(const std::string& name, int64_t changed_ns) const {
  const std::array<timespec, 2> times = {{{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                                          {.tv_sec = changed_ns / kSecondNs,
                                           .tv_nsec = changed_ns % kSecondNs}}};
  utimensat(blocks_, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
}

void DiskFolder::DeleteKey() const { unlinkat(folder_, "key", 0); }

Result<DiskFolderFacts> ShowDiskFolder(const std::string& path) {
  auto folder = DiskFolder::Open(path, /*make=*/false);
  RETURN_IF_ERROR(folder.status());
  DiskFolderFacts facts;
  folder->Visit([&](const std::string&, uint64_t bytes, int64_t) {
    ++facts.files;
    facts.bytes += bytes;
  });
  return facts;
}

Result<DiskFolderFacts> WipeDiskFolder(const std::string& path) {
  auto folder = DiskFolder::Open(path, /*make=*/false);
  RETURN_IF_ERROR(folder.status());
  RETURN_IF_ERROR(folder->Lock());
  DiskFolderFacts facts;
  folder->Visit([&](const std::string& name, uint64_t bytes, int64_t) {
    folder->Delete(name);
    ++facts.files;
    facts.bytes += bytes;
  });
  folder->DeleteKey();  // whatever was copied elsewhere is believed no more
  return facts;
}

}  // namespace pelton::kv
