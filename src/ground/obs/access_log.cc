#include "obs/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "codec/json_write.h"

namespace pelton::obs {
namespace {

constexpr size_t kRequestIdBytesMax = 64;
constexpr size_t kLoggedBytesMax = 512;  // of one text field: a path may be 8 KiB

std::string Now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
  const std::time_t s = ms / 1'000;
  std::tm utc{};
  gmtime_r(&s, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1'000);
}

void Text(std::string_view key, std::string_view value, codec::JsonWriter* w) {
  if (!value.empty()) w->Key(key).Value(value.substr(0, kLoggedBytesMax));
}

void Seconds(std::string_view key, double value, codec::JsonWriter* w) {
  if (value >= 0) w->Key(key).Value(std::round(value * 1e6) / 1e6);
}

void Count(std::string_view key, int64_t value, codec::JsonWriter* w) {
  if (value >= 0) w->Key(key).Value(value);
}

}  // namespace

std::string ChooseRequestId(std::optional<std::string_view> offered) {
  const auto fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (offered && !offered->empty() && offered->size() <= kRequestIdBytesMax &&
      std::all_of(offered->begin(), offered->end(), fine)) {
    return std::string(*offered);
  }
  return RandomId("req-");
}

std::string FormatAccess(const AccessRecord& record) {
  std::string line;
  codec::JsonWriter w(&line);
  w.Object().Key("time").Value(Now());
  Text("id", record.id, &w);
  Text("peer", record.peer, &w);
  Text("method", record.method, &w);
  Text("path", record.path, &w);
  w.Key("status").Value(record.status);
  Seconds("seconds", record.seconds, &w);
  Text("tenant", record.tenant, &w);
  Text("model", record.model, &w);
  Text("finish", record.finish, &w);
  Seconds("queue_seconds", record.queue_seconds, &w);
  Seconds("first_token_seconds", record.first_token_seconds, &w);
  Count("prompt_tokens", record.prompt_tokens, &w);
  Count("cached_tokens", record.cached_tokens, &w);
  Count("completion_tokens", record.completion_tokens, &w);
  w.End();
  line.push_back('\n');
  return line;
}

Result<AccessLog> AccessLog::Open(const std::string& path) {
  if (path.empty()) return AccessLog(-1, false);
  if (path == "-") return AccessLog(STDERR_FILENO, false);
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
  if (fd < 0) {
    return FailedPrecondition(fmt::format("cannot open the access log {}: {}", path,
                                          std::strerror(errno)));
  }
  return AccessLog(fd, true);
}

AccessLog::AccessLog(AccessLog&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), owned_(std::exchange(other.owned_, false)) {}

AccessLog& AccessLog::operator=(AccessLog&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(owned_, other.owned_);
  return *this;
}

AccessLog::~AccessLog() {
  if (owned_) ::close(fd_);
}

void AccessLog::Write(const AccessRecord& record) const {
  if (fd_ < 0) return;
  const std::string line = FormatAccess(record);
  if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    static std::atomic<bool> told{false};
    if (!told.exchange(true))
      LogWarn("obs", "access log: a line was lost: {}", std::strerror(errno));
  }
}

}  // namespace pelton::obs
