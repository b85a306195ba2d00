// Server-sent events (WHATWG HTML, section 9.2): writing them, and reading them as a client does.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::codec {

// Appends one event. Every line of `data` (split at CRLF, LF or CR) becomes a "data:" line of its
// own, so no data can start a field or end the event. `name` may be empty; line breaks in it are
// dropped.
void AppendSseEvent(std::string_view name, std::string_view data, std::string* out);
inline void AppendSseData(std::string_view data, std::string* out) {
  AppendSseEvent({}, data, out);
}
// Appends a comment, which readers ignore: a sign of life. Line breaks become spaces.
void AppendSseComment(std::string_view text, std::string* out);

struct SseEvent {
  std::string name;  // "message" when the stream names none
  std::string data;
  std::string id;    // the last one seen
};

struct SseLimits {
  size_t line_bytes_max = 1u << 20;
  size_t event_bytes_max = 8u << 20;
};

// Reads a stream cut at arbitrary places. Thread-compatible.
class SseParser {
 public:
  explicit SseParser(const SseLimits& limits = {}) : limits_(limits) {}

  // Calls `sink` for each event that is whole. RESOURCE_EXHAUSTED past a limit; the parser then
  // takes nothing more. What the stream ends in the middle of is dropped, as the standard says.
  Status Push(std::string_view bytes, const std::function<void(const SseEvent&)>& sink);

  // The last "retry:" value; negative when there was none.
  int64_t retry_ms() const { return retry_ms_; }
  uint64_t comments() const { return comments_; }

 private:
  Status EndLine(const std::function<void(const SseEvent&)>& sink);
  Status Field(std::string_view name, std::string_view value);

  const SseLimits limits_;
  std::string line_;
  std::string name_;
  std::string data_;
  std::string id_;
  int64_t retry_ms_ = -1;
  uint64_t comments_ = 0;
  bool first_line_ = true;
  bool after_cr_ = false;   // an LF right after a CR belongs to it
  bool failed_ = false;
};

}  // namespace pelton::codec
