// The chunked coding of RFC 9112 section 7.1, strictly: one CRLF kind, no white space that the
// grammar does not have, sizes that fit, bounded extensions and trailers. Both are read past.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/target.h"

namespace pelton::net {

// Bounds that are nobody's option: no client of this service comes near them.
inline constexpr size_t kChunkSizeDigitsMax = 16;
inline constexpr size_t kChunkExtensionBytesMax = 256;         // of one chunk
inline constexpr size_t kChunkExtensionBytesTotalMax = 16 << 10;  // of one body
inline constexpr int kTrailerCountMax = 8;
inline constexpr size_t kTrailerBytesMax = 4 << 10;

// Thread-compatible. Memory: one trailer line.
class ChunkedReader {
 public:
  enum class Event : uint8_t { kNeedMore, kDone, kRefused };

  // Takes bytes off the front of `bytes` and appends the data to `body`, which may grow to
  // `body_bytes_max` (413 beyond, as soon as a chunk's size says so).
  Event Next(std::string_view* bytes, std::string* body, uint64_t body_bytes_max);
  const Refusal& refusal() const { return refusal_; }

 private:
  enum class State : uint8_t {
    kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kTrailer, kDone, kRefused
  };

  bool Refuse(int status, std::string_view reason);  // always false
  // One byte that is not data; false when refused.
  bool TakeByte(char c, uint64_t room);
  bool TakeSizeByte(char c);
  bool TakeExtensionByte(char c);
  bool TakeTrailerByte(char c);

  State state_ = State::kSize;
  size_t digits_ = 0;
  uint64_t left_ = 0;              // of the chunk's size while reading it, then of its data
  size_t extension_bytes_ = 0;
  size_t extension_bytes_total_ = 0;
  int trailer_count_ = 0;
  size_t trailer_bytes_ = 0;
  std::string line_;
  Refusal refusal_;
};

// A field line without its CRLF: "name:value". Refuses folding, white space before the colon, and
// bytes that a name or value cannot have.
std::optional<Refusal> CheckFieldLine(std::string_view line);

}  // namespace pelton::net
