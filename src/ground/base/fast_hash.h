// A 64-bit checksum of bytes that runs near the speed of memory. It finds damage and changes, not
// adversaries: who may write the file may also write its sum (SHA-256 is in `codec`). The value is
// part of file formats (docs/formats/packed.md): little-endian, never to be changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pelton {

// Pure, thread-safe. The same bytes under another seed give an unrelated value.
uint64_t FastHash(std::span<const std::byte> bytes, uint64_t seed = 0);

}  // namespace pelton
