#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "identity/keys.h"

namespace pelton::identity {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

Result<std::string> ReadSecretFile(const std::string& path) {
  // Rights are checked on the open file, so that nobody can swap it between check and read.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    return NotFound(fmt::format("cannot open key file {}: {}", path, std::strerror(errno)));
  }
  struct stat info{};
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return InvalidArgument(fmt::format("key file {} is not a regular file", path));
  }
  if ((info.st_mode & 077) != 0) {
    return PermissionDenied(fmt::format(
        "key file {} can be read by others (mode {:04o}); run: chmod 600 {}", path,
        info.st_mode & 07777, path));
  }
  if (static_cast<uint64_t>(info.st_size) > kFileBytesMax) {
    return InvalidArgument(fmt::format("key file {} is larger than {} bytes", path, kFileBytesMax));
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t used = 0;
  while (used < text.size()) {
    const ssize_t n = read(file.get(), text.data() + used, text.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return Unavailable(fmt::format("cannot read key file {}: {}", path, std::strerror(errno)));
    }
    if (n == 0) break;
    used += static_cast<size_t>(n);
  }
  text.resize(used);
  return text;
}

Result<KeyRecord> RecordOfLine(std::string_view line, const std::string& path, int number) {
  const bool printable = line.find_first_not_of(
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
      "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") == std::string_view::npos;
  if (!printable || line.size() < kKeyBytesMin || line.size() > kKeyBytesMax) {
    return InvalidArgument(fmt::format(
        "{} line {}: a key has {} to {} visible ASCII characters without spaces", path, number,
        kKeyBytesMin, kKeyBytesMax));
  }
  return KeyRecord{std::string(kDefaultTenant), Role::kOperator, codec::Sha256(line)};
}

}  // namespace

Result<std::vector<KeyRecord>> ReadKeyFile(const std::string& path) {
  Result<std::string> text = ReadSecretFile(path);
  if (!text.ok()) return text.status();
  std::vector<KeyRecord> records;
  std::string_view rest = *text;
  for (int number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    Result<KeyRecord> record = RecordOfLine(line, path, number);
    if (!record.ok()) return record.status();
    records.push_back(*std::move(record));
  }
  if (records.empty()) {
    return InvalidArgument(fmt::format("key file {} has no key; write one key a line", path));
  }
  return records;
}

}  // namespace pelton::identity
