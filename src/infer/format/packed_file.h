// The head of a file of packed weights (docs/formats/packed.md): what it holds, under which key, and
// the sums to check it by. Pure functions on bytes; `models/packed_cache.h` owns the files.
//
//   [head: prefix, identity, sections, chunk sums, label, zeros to 4096] [body, zeros to 4096]
//
// The body is the memory of a model's weights, byte for byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace pelton::format {

inline constexpr uint32_t kPackedVersion = 1;
inline constexpr size_t kPackedAlign = 4096;           // of head and body: they are read past the cache
inline constexpr uint64_t kPackedChunkBytes = 4u << 20;  // of the body under one sum
inline constexpr size_t kPackedPrefixBytes = 192;      // prefix and identity
inline constexpr size_t kPackedIdentityOffset = 128;
inline constexpr uint64_t kPackedSectionsMax = 65536;  // as many as a model may have tensors
inline constexpr uint64_t kPackedBodyBytesMax = uint64_t{1} << 42;
inline constexpr uint64_t kPackedLabelBytesMax = 4096;
inline constexpr uint64_t kPackedHeadBytesMax = 16u << 20;

// One matrix or vector in the body.
struct PackedSection {
  uint64_t offset = 0;      // in the body, a multiple of 64
  uint64_t bytes = 0;       // true length; the next section begins at the next multiple of 64
  float post_scale = 1.f;   // a power of two (kernels::PackedMatrix)
  friend bool operator==(const PackedSection&, const PackedSection&) = default;
};

// Which file the weights came from, when last seen: lets a start skip reading all of it.
struct PackedIdentity {
  uint64_t source = 0;   // hash of the FileIdentity of every source file; 0: not known
  friend bool operator==(const PackedIdentity&, const PackedIdentity&) = default;
};
// Kept apart from the rest, with a sum of its own: it may be rewritten in place, and a torn one only
// costs a look at the source.
std::array<std::byte, 64> WritePackedIdentity(const PackedIdentity& identity);

struct PackedHead {
  uint32_t layout_version = 0;            // kernels::kPackedLayoutVersion of the writer
  std::array<uint8_t, 32> key = {};       // what is packed, from what, how
  uint64_t content = 0;                   // hash of all source bytes
  uint64_t body_bytes = 0;                // at least 1
  std::vector<PackedSection> sections;    // in order, without gap or overlap, covering the body
  std::vector<uint64_t> chunk_sums;       // FastHash of each kPackedChunkBytes of the padded body
  std::string label;                      // shown to people: the source's path
  PackedIdentity identity;                // not under the head's sum

  uint64_t head_bytes = 0;                // filled by Parse and Write; where the body begins
  uint64_t padded_body_bytes() const { return (body_bytes + kPackedAlign - 1) / kPackedAlign * kPackedAlign; }
};

// Bytes of the head, from its first kPackedPrefixBytes; INVALID_ARGUMENT when they cannot be the
// beginning of a file of `file_bytes`.
Result<uint64_t> PackedHeadBytes(std::span<const std::byte> prefix, uint64_t file_bytes);
// Any bytes are answered with a checked head or a one-line error; memory stays within a small
// multiple of bytes.size(). `bytes` is the whole head.
Result<PackedHead> ParsePackedHead(std::span<const std::byte> bytes, uint64_t file_bytes);
// CHECKs that the head is one that Parse would take.
std::vector<std::byte> WritePackedHead(PackedHead& head);

}  // namespace pelton::format
