#include "codec/sse.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace pelton::codec {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Cuts the first line off `text`, with its line break.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find_first_of("\r\n");
  const std::string_view line = text->substr(0, end);
  if (end == std::string_view::npos) {
    *text = {};
    return line;
  }
  const bool pair = (*text)[end] == '\r' && end + 1 < text->size() && (*text)[end + 1] == '\n';
  text->remove_prefix(end + (pair ? 2 : 1));
  return line;
}

}  // namespace

void AppendSseEvent(std::string_view name, std::string_view data, std::string* out) {
  if (!name.empty()) {
    out->append("event: ");
    std::copy_if(name.begin(), name.end(), std::back_inserter(*out),
                 [](char c) { return c != '\r' && c != '\n'; });
    out->push_back('\n');
  }
  // A break at the very end is a last, empty line: it must survive the reader's joining with LF.
  bool more = true;
  while (more) {
    more = data.find_first_of("\r\n") != std::string_view::npos;
    out->append("data: ").append(TakeLine(&data)).push_back('\n');
  }
  out->push_back('\n');
}

void AppendSseComment(std::string_view text, std::string* out) {
  out->append(": ");
  std::transform(text.begin(), text.end(), std::back_inserter(*out),
                 [](char c) { return c == '\r' || c == '\n' ? ' ' : c; });
  out->append("\n\n");
}

Status SseParser::Push(std::string_view bytes, const std::function<void(const SseEvent&)>& sink) {
  if (failed_) return ResourceExhausted("the event stream went past a limit before");
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
    const size_t end = bytes.find_first_of("\r\n");
    const std::string_view part = bytes.substr(0, end);
    if (part.size() > limits_.line_bytes_max - line_.size()) {
      failed_ = true;
      return ResourceExhausted("a line of the event stream is too long");
    }
    line_.append(part);
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (Status status = EndLine(sink); !status.ok()) {
      failed_ = true;
      return status;
    }
  }
  return OkStatus();
}

Status SseParser::EndLine(const std::function<void(const SseEvent&)>& sink) {
  std::string whole = std::exchange(line_, {});
  std::string_view line = whole;
  if (std::exchange(first_line_, false) && line.starts_with(kByteOrderMark)) line.remove_prefix(3);
  if (line.empty()) {
    if (!data_.empty()) {
      data_.pop_back();  // the last line's LF
      sink({.name = name_.empty() ? "message" : name_, .data = data_, .id = id_});
    }
    data_.clear();
    name_.clear();
    return OkStatus();
  }
  if (line.front() == ':') {
    ++comments_;
    return OkStatus();
  }
  const size_t colon = line.find(':');
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  return Field(line.substr(0, colon), value);
}

Status SseParser::Field(std::string_view name, std::string_view value) {
  if (name == "data") {
    if (data_.size() + value.size() + 1 > limits_.event_bytes_max) {
      return ResourceExhausted("an event of the stream is too long");
    }
    data_.append(value).push_back('\n');
  } else if (name == "event") {
    name_ = value;
  } else if (name == "id") {
    if (value.find('\0') == std::string_view::npos) id_ = value;
  } else if (name == "retry") {
    int64_t ms = 0;
    const auto read = std::from_chars(value.data(), value.data() + value.size(), ms);
    const bool digits = value.find_first_not_of("0123456789") == std::string_view::npos;
    if (digits && !value.empty() && read.ec == std::errc()) retry_ms_ = ms;
  }
  return OkStatus();
}

}  // namespace pelton::codec
