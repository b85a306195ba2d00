#include "net/request_reader.h"

#include <algorithm>

namespace pelton::net {
namespace {

constexpr size_t kVersionBytes = 8;                 // "HTTP/1.1"
constexpr uint64_t kBodyReserveBytesMax = 64 << 10; // a promise of Content-Length costs no more

}  // namespace

RequestReader::Event RequestReader::Refuse(const Refusal& refusal) {
  state_ = State::kRefused;
  refusal_ = refusal;
  return Event::kRefused;
}

RequestReader::Event RequestReader::Next(std::string_view* bytes) {
  switch (state_) {
    case State::kRequestLine:
    case State::kFields: return ReadHead(bytes);
    case State::kHeadDone: return Event::kHead;
    case State::kBody: return ReadBody(bytes);
    case State::kDone: return Event::kRequest;
    case State::kRefused: return Event::kRefused;
  }
  return Event::kRefused;
}

size_t RequestReader::LineRoom() const {
  const size_t line_max = state_ == State::kRequestLine
                              ? kMethodBytesMax + limits_.target_bytes_max + kVersionBytes + 4
                              : limits_.header_bytes_max - header_bytes_ + 2;
  return line_max - std::min(line_max, line_.size());
}

std::optional<Refusal> RequestReader::LineTooLong() const {
  if (state_ == State::kFields) return Refusal{431, "the header fields are too long"};
  return MayBeRequestLine(line_) ? Refusal{414, "the request target is too long"}
                                 : Refusal{400, "the method is not valid"};
}

RequestReader::Event RequestReader::ReadHead(std::string_view* bytes) {
  while (!bytes->empty() && state_ != State::kHeadDone) {
    const size_t newline = bytes->find('\n');
    const bool whole = newline != std::string_view::npos;
    const size_t want = whole ? newline + 1 : bytes->size();
    const size_t take = std::min(want, LineRoom());
    line_.append(bytes->substr(0, take));
    bytes->remove_prefix(take);
    if (take < want) return Refuse(*LineTooLong());
    if (!whole) {
      if (state_ == State::kRequestLine && line_ != "\r" && !MayBeRequestLine(line_)) {
        return Refuse({400, "the method is not valid"});
      }
      return Event::kNeedMore;
    }
    if (const auto refusal = EndLine()) return Refuse(*refusal);
  }
  return state_ == State::kHeadDone ? Event::kHead : Event::kNeedMore;
}

std::optional<Refusal> RequestReader::EndLine() {
  if (!line_.ends_with("\r\n")) return Refusal{400, "a line ends in a bare LF"};
  const std::string_view line(line_.data(), line_.size() - 2);
  if (state_ == State::kRequestLine) {
    if (line.empty()) {  // RFC 9112 section 2.2 asks to ignore at least one
      if (skipped_empty_line_) return Refusal{400, "the request line is empty"};
      skipped_empty_line_ = true;
      line_.clear();
      return std::nullopt;
    }
    if (const auto refusal = CheckRequestLine(line, limits_.target_bytes_max)) return refusal;
    state_ = State::kFields;
  } else if (!line.empty()) {
    header_bytes_ += line_.size();
    if (header_bytes_ > limits_.header_bytes_max) return LineTooLong();
    if (++header_count_ > limits_.header_count_max) return Refusal{431, "too many header fields"};
    if (const auto refusal = CheckFieldLine(line)) return refusal;
  }
  const bool last = line.empty();
  lines_.append(line_);
  line_.clear();
  return last ? EndHead() : std::nullopt;
}

std::optional<Refusal> RequestReader::EndHead() {
  const std::string lines = std::exchange(lines_, {});
  line_ = std::string();
  if (const auto refusal = ParseHead(lines, &head_, &facts_)) return refusal;
  state_ = State::kHeadDone;
  return std::nullopt;
}

void RequestReader::StartBody(uint64_t bytes_max) {
  if (state_ != State::kHeadDone) return;
  body_bytes_max_ = bytes_max;
  state_ = facts_.framing == BodyFraming::kNone ? State::kDone : State::kBody;
  if (facts_.framing != BodyFraming::kLength) return;
  const uint64_t length = head_.content_length.value_or(0);
  if (length > bytes_max) {
    Refuse({413, "the body is too large"});
    return;
  }
  body_.reserve(static_cast<size_t>(std::min(length, kBodyReserveBytesMax)));
}

RequestReader::Event RequestReader::ReadBody(std::string_view* bytes) {
  if (facts_.framing == BodyFraming::kChunked) {
    const ChunkedReader::Event event = chunked_.Next(bytes, &body_, body_bytes_max_);
    if (event == ChunkedReader::Event::kRefused) return Refuse(chunked_.refusal());
    if (event == ChunkedReader::Event::kNeedMore) return Event::kNeedMore;
  } else {
    const uint64_t left = head_.content_length.value_or(0) - body_.size();
    const size_t take = static_cast<size_t>(std::min<uint64_t>(left, bytes->size()));
    body_.append(bytes->substr(0, take));
    bytes->remove_prefix(take);
    if (take < left) return Event::kNeedMore;
  }
  state_ = State::kDone;
  return Event::kRequest;
}

void RequestReader::Reset() {
  state_ = State::kRequestLine;
  skipped_empty_line_ = false;
  header_count_ = 0;
  header_bytes_ = 0;
  head_ = {};
  facts_ = {};
  body_ = std::string();
  chunked_ = {};
}

}  // namespace pelton::net
