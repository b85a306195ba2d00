#include "net/chunked_reader.h"

#include <algorithm>

#include "net/syntax.h"

namespace pelton::net {

std::optional<Refusal> CheckFieldLine(std::string_view line) {
  if (line.starts_with(' ') || line.starts_with('\t')) return Refusal{400, "a folded header field"};
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Refusal{400, "a header field without a colon"};
  if (!IsToken(line.substr(0, colon))) return Refusal{400, "a header field's name is not valid"};
  const std::string_view value = line.substr(colon + 1);
  if (!std::all_of(value.begin(), value.end(), IsValueByte)) {
    return Refusal{400, "a header field's value has a control character"};
  }
  return std::nullopt;
}

bool ChunkedReader::Refuse(int status, std::string_view reason) {
  state_ = State::kRefused;
  refusal_ = {status, reason};
  return false;
}

ChunkedReader::Event ChunkedReader::Next(std::string_view* bytes, std::string* body,
                                         uint64_t body_bytes_max) {
  while (!bytes->empty() && state_ != State::kDone && state_ != State::kRefused) {
    if (state_ == State::kData) {
      const size_t count = static_cast<size_t>(std::min<uint64_t>(left_, bytes->size()));
      body->append(bytes->substr(0, count));
      bytes->remove_prefix(count);
      left_ -= count;
      if (left_ == 0) state_ = State::kDataCr;
      continue;
    }
    const char c = bytes->front();
    bytes->remove_prefix(1);
    if (!TakeByte(c, body_bytes_max - body->size())) return Event::kRefused;
  }
  if (state_ == State::kRefused) return Event::kRefused;
  return state_ == State::kDone ? Event::kDone : Event::kNeedMore;
}

bool ChunkedReader::TakeByte(char c, uint64_t room) {
  switch (state_) {
    case State::kSize: return TakeSizeByte(c);
    case State::kExtension: return TakeExtensionByte(c);
    case State::kSizeLf:
      if (c != '\n') return Refuse(400, "a chunk's size ends in a bare CR");
      digits_ = 0;
      extension_bytes_ = 0;
      if (left_ > room) return Refuse(413, "the body is too large");
      state_ = left_ == 0 ? State::kTrailer : State::kData;
      return true;
    case State::kDataCr:
      if (c != '\r') return Refuse(400, "a chunk is longer than its size");
      state_ = State::kDataLf;
      return true;
    case State::kDataLf:
      if (c != '\n') return Refuse(400, "a chunk ends in a bare CR");
      state_ = State::kSize;
      return true;
    case State::kTrailer: return TakeTrailerByte(c);
    case State::kData:
    case State::kDone:
    case State::kRefused: break;
  }
  return true;
}

bool ChunkedReader::TakeSizeByte(char c) {
  if (const int digit = HexValue(c); digit >= 0) {
    // 16 digits fill 64 bits exactly, so that no size can wrap around.
    if (++digits_ > kChunkSizeDigitsMax) {
      return Refuse(400, "a chunk's size has too many digits");
    }
    left_ = left_ << 4 | static_cast<uint64_t>(digit);
    return true;
  }
  if (digits_ == 0) return Refuse(400, "a chunk's size is not valid");
  if (c == ';') {
    state_ = State::kExtension;
    return true;
  }
  if (c != '\r') return Refuse(400, "a chunk's size is not valid");
  state_ = State::kSizeLf;
  return true;
}

bool ChunkedReader::TakeExtensionByte(char c) {
  if (c == '\r') {
    state_ = State::kSizeLf;
    return true;
  }
  if (!IsValueByte(c)) {
    return Refuse(400, "a chunk's extension has a control character");
  }
  if (++extension_bytes_ > kChunkExtensionBytesMax ||
      ++extension_bytes_total_ > kChunkExtensionBytesTotalMax) {
    return Refuse(400, "chunk extensions are too long");
  }
  return true;
}

bool ChunkedReader::TakeTrailerByte(char c) {
  if (++trailer_bytes_ > kTrailerBytesMax + 2) {  // 2: the empty line after the fields
    return Refuse(431, "the trailers are too long");
  }
  line_.push_back(c);
  if (c != '\n') return true;
  if (!line_.ends_with("\r\n")) return Refuse(400, "a line ends in a bare LF");
  line_.resize(line_.size() - 2);
  if (line_.empty()) {
    state_ = State::kDone;
    return true;
  }
  if (++trailer_count_ > kTrailerCountMax) {
    return Refuse(431, "too many trailers");
  }
  if (const auto refusal = CheckFieldLine(line_)) {
    return Refuse(refusal->status, refusal->reason);
  }
  line_.clear();
  return true;
}

}  // namespace pelton::net
