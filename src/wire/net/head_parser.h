// From the bytes of one request head to a RequestHead. Beast's parser reads the fields; what stands
// before and after it makes the result strict. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/http.h"
#include "net/target.h"

namespace pelton::net {

enum class BodyFraming : uint8_t { kNone, kLength, kChunked };

struct HeadFacts {
  BodyFraming framing = BodyFraming::kNone;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool expects_continue = false;
};

inline constexpr size_t kMethodBytesMax = 32;

// Whether `line`, of which more may come, can still become a request line: what is there of the
// method is a token and not too long. So that a TLS handshake or a flood is refused at its start.
bool MayBeRequestLine(std::string_view line);

// The request line without its CRLF: method, target and version are well formed, each in its
// limits.
std::optional<Refusal> CheckRequestLine(std::string_view line, size_t target_bytes_max);

// `bytes` is a whole head with its empty line, each line of which has passed CheckRequestLine or
// CheckFieldLine. Fills `head` (but for the peer) and `facts`.
std::optional<Refusal> ParseHead(std::string_view bytes, RequestHead* head, HeadFacts* facts);

}  // namespace pelton::net
