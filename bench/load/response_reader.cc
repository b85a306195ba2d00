#include "load/response_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace pelton::load {
namespace {

bool SameLetters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// All of `digits` as a number that fits.
bool ReadNumber(std::string_view digits, int base, uint64_t* out) {
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), *out, base);
  return !digits.empty() && error == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

Status ResponseReader::Fail(std::string why) {
  state_ = State::kFailed;
  return InvalidArgument(std::move(why));
}

Status ResponseReader::Push(std::string_view bytes, std::string* body) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::kHead: {
        line_.push_back(bytes.front());
        bytes.remove_prefix(1);
        if (line_.size() > kHeadBytesMax) return Fail("the response's head is too long");
        if (line_.ends_with("\r\n\r\n")) RETURN_IF_ERROR(TakeHead());
        break;
      }
      case State::kLength:
      case State::kChunkData: {
        const auto count = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
        body->append(bytes.substr(0, count));
        bytes.remove_prefix(count);
        left_ -= count;
        if (left_ == 0) state_ = state_ == State::kLength ? State::kDone : State::kChunkEnd;
        break;
      }
      case State::kUntilEnd:
        body->append(bytes);
        return OkStatus();
      case State::kChunkSize:
      case State::kChunkEnd:
      case State::kTrailer:
        if (CollectLine(&bytes)) RETURN_IF_ERROR(TakeLine());
        else if (line_.size() > kChunkLineBytesMax) return Fail("a chunk's line is too long");
        break;
      case State::kDone: return OkStatus();
      case State::kFailed: return InvalidArgument("the response is not valid");
    }
  }
  return OkStatus();
}

Status ResponseReader::End() const {
  if (state_ == State::kDone || state_ == State::kUntilEnd) return OkStatus();
  if (state_ == State::kHead && line_.empty()) {
    return Unavailable("the server closed the connection without an answer");
  }
  return Unavailable("the server closed the connection in the middle of its answer");
}

bool ResponseReader::CollectLine(std::string_view* bytes) {
  const size_t room = kChunkLineBytesMax + 1 - std::min(line_.size(), kChunkLineBytesMax);
  const size_t end = bytes->substr(0, room).find('\n');
  const size_t count = end == std::string_view::npos ? std::min(room, bytes->size()) : end + 1;
  line_.append(bytes->substr(0, count));
  bytes->remove_prefix(count);
  return end != std::string_view::npos;
}

Status ResponseReader::TakeLine() {
  std::string_view line = line_;
  line.remove_suffix(1);
  if (!line.ends_with('\r')) return Fail("a chunk's line ends in a bare LF");
  line.remove_suffix(1);
  if (state_ == State::kChunkSize) {
    if (!ReadNumber(Trimmed(line.substr(0, line.find(';'))), 16, &left_)) {
      return Fail("a chunk's size is not valid");
    }
    state_ = left_ == 0 ? State::kTrailer : State::kChunkData;
  } else if (state_ == State::kChunkEnd) {
    if (!line.empty()) return Fail("a chunk is longer than its size");
    state_ = State::kChunkSize;
  } else if (line.empty()) {
    state_ = State::kDone;
  }
  line_.clear();
  return OkStatus();
}

// "HTTP/1.1 200 OK", then the fields.
Status ResponseReader::TakeHead() {
  std::string_view head = line_;
  const std::string_view first = head.substr(0, head.find("\r\n"));
  uint64_t code = 0;
  if (!first.starts_with("HTTP/1.") || first.size() < 12 || first[8] != ' ' ||
      !ReadNumber(first.substr(9, 3), 10, &code) || code < 100 || code > 599) {
    return Fail("not an HTTP/1.1 response");
  }
  head.remove_prefix(first.size() + 2);
  chunked_ = has_length_ = false;
  while (!head.starts_with("\r\n")) {
    const size_t end = head.find("\r\n");
    RETURN_IF_ERROR(TakeField(head.substr(0, end)));
    head.remove_prefix(end + 2);
  }
  line_.clear();
  if (code < 200) return OkStatus();  // 100 Continue: the answer proper follows
  status_ = static_cast<int>(code);
  left_ = length_;
  if (code == 204 || code == 304) state_ = State::kDone;
  else if (chunked_) state_ = State::kChunkSize;
  else if (!has_length_) state_ = State::kUntilEnd;
  else state_ = length_ == 0 ? State::kDone : State::kLength;
  return OkStatus();
}

Status ResponseReader::TakeField(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return Fail("a header field without a name");
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trimmed(line.substr(colon + 1));
  if (SameLetters(name, "transfer-encoding")) {
    if (!SameLetters(value, "chunked")) {
      return Fail(fmt::format("transfer coding '{}' is not known", value.substr(0, 40)));
    }
    chunked_ = true;
  } else if (SameLetters(name, "content-length")) {
    if (has_length_ || !ReadNumber(value, 10, &length_)) return Fail("Content-Length is not valid");
    has_length_ = true;
  }
  return OkStatus();
}

}  // namespace pelton::load
