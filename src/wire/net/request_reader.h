// One connection's requests, read from bytes as they come: no socket, no clock, no thread. Whatever
// the pieces, the same bytes give the same events. Owned by its connection.
//
//   for (;;) switch (reader.Next(&bytes)) {
//     kNeedMore:  come back with more bytes
//     kHead:      look at head(), then StartBody(limit) or give up
//     kRequest:   head() and body() are whole; take them, then Reset() for the next
//     kRefused:   answer refusal() and close: what follows cannot be trusted
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/chunked_reader.h"
#include "net/head_parser.h"
#include "net/http.h"
#include "net/target.h"

namespace pelton::net {

struct ReaderLimits {
  size_t target_bytes_max = 8 << 10;
  size_t header_bytes_max = 16 << 10;
  int header_count_max = 100;
};

class RequestReader {
 public:
  enum class Event : uint8_t { kNeedMore, kHead, kRequest, kRefused };

  explicit RequestReader(const ReaderLimits& limits) : limits_(limits) {}

  // Takes bytes off the front of `bytes`; never past the end of the request it reads. Keeps at most
  // the limits' sum of a head and, of a body, what StartBody allowed.
  Event Next(std::string_view* bytes);

  RequestHead& head() { return head_; }
  const HeadFacts& facts() const { return facts_; }
  std::string& body() { return body_; }
  const Refusal& refusal() const { return refusal_; }

  // After kHead. A Content-Length above `bytes_max` makes the next event kRefused with 413.
  void StartBody(uint64_t bytes_max);
  // After kRequest.
  void Reset();

  bool idle() const { return state_ == State::kRequestLine && line_.empty(); }
  uint64_t body_bytes_read() const { return body_.size(); }

 private:
  enum class State : uint8_t { kRequestLine, kFields, kHeadDone, kBody, kDone, kRefused };

  Event Refuse(const Refusal& refusal);
  Event ReadHead(std::string_view* bytes);
  Event ReadBody(std::string_view* bytes);
  // How many bytes the line being read may still take, its CRLF included.
  size_t LineRoom() const;
  std::optional<Refusal> LineTooLong() const;
  // A line with its LF has come; moves on to the next state.
  std::optional<Refusal> EndLine();
  std::optional<Refusal> EndHead();

  const ReaderLimits limits_;
  State state_ = State::kRequestLine;
  bool skipped_empty_line_ = false;
  int header_count_ = 0;
  size_t header_bytes_ = 0;        // of whole field lines
  uint64_t body_bytes_max_ = 0;
  std::string lines_;              // whole lines of the head
  std::string line_;               // the one being read
  RequestHead head_;
  HeadFacts facts_;
  std::string body_;
  ChunkedReader chunked_;
  Refusal refusal_;
};

}  // namespace pelton::net
