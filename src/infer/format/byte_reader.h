// A cursor over bytes nobody vouches for. Little-endian; never reads past the end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace pelton::format {

static_assert(std::endian::native == std::endian::little, "model files are little-endian");

class ByteReader {  // owned by one thread
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // False, and nothing is consumed, when fewer bytes are left than a T has.
  template <typename T>
    requires std::is_arithmetic_v<T>
  bool Read(T* out) {
    if (left() < sizeof(T)) return false;
    std::memcpy(out, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }

  // `length` bytes as a view into the input; false when fewer are left.
  bool Take(uint64_t length, std::string_view* out) {
    if (length > left()) return false;
    *out = {reinterpret_cast<const char*>(bytes_.data()) + position_, static_cast<size_t>(length)};
    position_ += static_cast<size_t>(length);
    return true;
  }

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace pelton::format
