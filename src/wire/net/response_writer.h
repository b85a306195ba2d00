// The bytes of answers. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace pelton::net {

struct ResponseShape {
  bool http_1_0 = false;   // no chunks: the end of the connection ends the body
  bool keep_alive = true;
  bool is_head = false;    // the request was HEAD: no body follows
};

// A status line and fields, with Date, Connection and, for `body_bytes`, Content-Length; without
// it the body is chunked (HTTP/1.1) or ends with the connection. Values lose CR, LF and NUL, so
// that no value can start a field; a name that is no token is left out, counted as a bug of ours.
std::string WriteHead(int status, const Headers& headers, std::optional<uint64_t> body_bytes,
                      const ResponseShape& shape);

// 1xx, 204 and 304 never have a body.
bool StatusHasBody(int status);

void AppendChunk(std::string_view data, std::string* out);  // `data` not empty
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace pelton::net
