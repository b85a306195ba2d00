// SHA-256 (FIPS 180-4, OpenSSL's), hexadecimal, and comparison without timing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::codec {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(std::string_view bytes);  // pure, thread-safe

// For what comes in pieces. Thread-compatible.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;

  void Push(std::string_view bytes);
  Sha256Digest Finish();  // once; afterwards the stream is as new

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string EncodeHex(std::string_view bytes);  // lower case
std::string EncodeHex(const Sha256Digest& digest);
// INVALID_ARGUMENT unless 64 hexadecimal digits of either case.
Result<Sha256Digest> ParseSha256Hex(std::string_view text);

// Time depends on the lengths only, never on where the first difference is.
bool ConstantTimeEqual(std::string_view a, std::string_view b);
bool ConstantTimeEqual(const Sha256Digest& a, const Sha256Digest& b);

}  // namespace pelton::codec
