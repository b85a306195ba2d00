// UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF.
// Functions are pure and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pelton::codec {

bool ValidUtf8(std::string_view bytes);

// `bytes` with each maximal ill-formed part replaced by one U+FFFD (Unicode 15, section 3.9, the
// practice that WHATWG's decoder follows). Valid input comes back unchanged.
std::string SanitizeUtf8(std::string_view bytes);

// Appends the UTF-8 form of `code_point`; a surrogate or a number above U+10FFFF becomes U+FFFD.
void AppendUtf8(uint32_t code_point, std::string* out);

// How many bytes at the end of `bytes` (0 to 3) begin a character whose rest may still come.
size_t IncompleteUtf8Tail(std::string_view bytes);

// Turns a byte stream cut at arbitrary places into valid UTF-8 pieces. A character is given out
// when its last byte is there; at most three bytes are kept. Thread-compatible.
class Utf8Stream {
 public:
  // Everything decodable so far that was not given out before; ill-formed parts become U+FFFD.
  std::string Push(std::string_view bytes);
  // What was kept, as U+FFFD when it is not empty. Afterwards the stream is as new.
  std::string Flush();

  bool empty() const { return kept_.empty(); }

 private:
  std::string kept_;
};

}  // namespace pelton::codec
