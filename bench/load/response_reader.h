// HTTP/1.1 responses as a client reads them: the status, then the body's bytes without their
// coding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::load {

inline constexpr size_t kHeadBytesMax = 64 << 10;
inline constexpr size_t kChunkLineBytesMax = 1 << 10;  // size and extensions; a trailer

// Reads one response cut at arbitrary places. Thread-compatible. Memory: one head.
class ResponseReader {
 public:
  // Appends what `bytes` holds of the body, never more than they are. INVALID_ARGUMENT when they
  // are no response; the reader then takes nothing more. Bytes after the response are dropped.
  Status Push(std::string_view bytes, std::string* body);
  // The connection has ended: OK when the response was whole, or says its length by ending.
  Status End() const;

  bool head_done() const { return state_ != State::kHead; }
  bool done() const { return state_ == State::kDone; }
  int status() const { return status_; }  // 0 until the head is done

 private:
  enum class State : uint8_t {
    kHead, kLength, kUntilEnd, kChunkSize, kChunkData, kChunkEnd, kTrailer, kDone, kFailed
  };

  Status Fail(std::string why);
  Status TakeHead();
  Status TakeField(std::string_view line);
  Status TakeLine();
  // A line of the chunked coding, with its LF, is in line_ when true.
  bool CollectLine(std::string_view* bytes);

  State state_ = State::kHead;
  int status_ = 0;
  bool chunked_ = false;
  bool has_length_ = false;
  uint64_t length_ = 0;
  uint64_t left_ = 0;    // of the body or of the chunk
  std::string line_;     // the head so far, then a line of the chunked coding
};

}  // namespace pelton::load
