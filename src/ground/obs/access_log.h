// One line a request, as JSON, and the request's id. Never a key, a query, a prompt or an answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::obs {

// Ids of clients are taken when they are 1 to 64 bytes of [A-Za-z0-9._-] (so that they can stand in
// a header, a log and a file's name); others get "req-" and 128 random bits. Thread-safe.
std::string ChooseRequestId(std::optional<std::string_view> offered);

struct AccessRecord {
  std::string_view id{};
  std::string_view peer{};
  std::string_view method{};
  std::string_view path{};      // decoded, without the query
  int status = 0;
  double seconds = 0;         // from the whole head to the last byte handed out
  // Left out of the line when empty or negative.
  std::string_view tenant{};
  std::string_view model{};
  std::string_view finish{};    // finish reason, or "disconnect"
  double queue_seconds = -1;
  double first_token_seconds = -1;
  int64_t prompt_tokens = -1;
  int64_t cached_tokens = -1;
  int64_t completion_tokens = -1;
};

// {"time":"2026-11-23T03:40:00.123Z","id":"req-…","peer":"…","method":"POST","path":"…",
//  "status":200,"seconds":0.125,…} and a line feed. Pure but for the time.
std::string FormatAccess(const AccessRecord& record);

// Thread-safe: a record is one write(2), so lines never mix. A line that cannot be written is
// dropped; the first time is logged.
class AccessLog {
 public:
  // "-": standard error; "": off; else a file, appended to. The message of an error has the path.
  static Result<AccessLog> Open(const std::string& path);
  AccessLog(AccessLog&& other) noexcept;
  AccessLog& operator=(AccessLog&& other) noexcept;
  ~AccessLog();

  void Write(const AccessRecord& record) const;

 private:
  explicit AccessLog(int fd, bool owned) : fd_(fd), owned_(owned) {}

  int fd_ = -1;  // negative: off
  bool owned_ = false;
};

}  // namespace pelton::obs
