#include "format/packed_file.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/assert.h"
#include "base/checked.h"
#include "base/fast_hash.h"

namespace pelton::format {
namespace {

constexpr char kMagic[8] = {'P', 'L', 'T', 'N', 'P', 'A', 'C', 'K'};
constexpr uint64_t kSectionBytes = 24;

// Where things stand in the prefix.
enum : size_t {
  kAtMagic = 0, kAtVersion = 8, kAtLayout = 12, kAtHeadBytes = 16, kAtBodyBytes = 24,
  kAtSections = 32, kAtChunkBytes = 36, kAtChunks = 40, kAtLabelBytes = 44, kAtKey = 48,
  kAtContent = 80, kAtSum = 88, kAtReserved = 96,
};

template <typename T>
T Get(std::span<const std::byte> bytes, size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void Put(std::span<std::byte> bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

uint64_t HeadSum(std::span<const std::byte> head) {
  const uint64_t prefix = FastHash(head.first(kAtSum));
  return FastHash(head.subspan(kPackedPrefixBytes), prefix);
}

Status Damaged(std::string what) { return InvalidArgument("packed file: " + std::move(what)); }

struct Counts {
  uint64_t sections = 0, chunks = 0, label = 0, head = 0, body = 0;
};

// Every number of the prefix against every other and the file's size, before anything is allocated.
Result<Counts> ReadCounts(std::span<const std::byte> prefix, uint64_t file_bytes) {
  if (prefix.size() < kPackedPrefixBytes || file_bytes < kPackedPrefixBytes) return Damaged("too short");
  if (std::memcmp(prefix.data(), kMagic, sizeof kMagic) != 0) return Damaged("another kind of file");
  if (const auto version = Get<uint32_t>(prefix, kAtVersion); version != kPackedVersion) {
    return Damaged(fmt::format("version {}, not {}", version, kPackedVersion));
  }
  const Counts c{.sections = Get<uint32_t>(prefix, kAtSections), .chunks = Get<uint32_t>(prefix, kAtChunks),
                 .label = Get<uint32_t>(prefix, kAtLabelBytes), .head = Get<uint64_t>(prefix, kAtHeadBytes),
                 .body = Get<uint64_t>(prefix, kAtBodyBytes)};
  if (c.body == 0 || c.body > kPackedBodyBytesMax) return Damaged(fmt::format("a body of {} bytes", c.body));
  if (Get<uint32_t>(prefix, kAtChunkBytes) != kPackedChunkBytes) return Damaged("chunks of another size");
  if (c.sections == 0 || c.sections > kPackedSectionsMax) {
    return Damaged(fmt::format("{} sections, 1 to {} are read", c.sections, kPackedSectionsMax));
  }
  if (c.chunks != (c.body + kPackedChunkBytes - 1) / kPackedChunkBytes) {
    return Damaged(fmt::format("{} chunks for a body of {} bytes", c.chunks, c.body));
  }
  if (c.label > kPackedLabelBytesMax) return Damaged(fmt::format("a label of {} bytes", c.label));
  // Small by the bounds above: 2^16 sections, 2^20 chunks.
  const uint64_t used = kPackedPrefixBytes + c.sections * kSectionBytes + c.chunks * 8 + c.label;
  const auto head = CheckedAlignUp<uint64_t>(used, kPackedAlign);
  if (!head || *head != c.head || c.head > kPackedHeadBytesMax) {
    return Damaged(fmt::format("a head of {} bytes", c.head));
  }
  const auto body = CheckedAlignUp<uint64_t>(c.body, kPackedAlign);
  const auto total = body ? CheckedAdd(*body, c.head) : std::nullopt;
  if (!total || *total != file_bytes) {
    return Damaged(fmt::format("{} bytes long, which is not head and body", file_bytes));
  }
  return c;
}

bool PowerOfTwo(float v) {
  int exponent = 0;
  return std::isfinite(v) && v > 0.f && std::frexp(v, &exponent) == 0.5f;
}

// In order, each where the one before ends, the last at the end of the body.
Status ReadSections(std::span<const std::byte> bytes, const Counts& counts, PackedHead& head) {
  uint64_t expected = 0;
  head.sections.reserve(counts.sections);
  for (uint64_t i = 0; i < counts.sections; ++i) {
    const size_t at = kPackedPrefixBytes + static_cast<size_t>(i * kSectionBytes);
    const PackedSection s{.offset = Get<uint64_t>(bytes, at), .bytes = Get<uint64_t>(bytes, at + 8),
                          .post_scale = std::bit_cast<float>(Get<uint32_t>(bytes, at + 16))};
    if (s.offset != expected) {
      return Damaged(fmt::format("section {} begins at {}, not at {}", i, s.offset, expected));
    }
    const auto end = CheckedAdd(s.offset, s.bytes);
    if (s.bytes == 0 || !end || *end > head.body_bytes) {
      return Damaged(fmt::format("section {} has {} bytes at {}, behind the body", i, s.bytes, s.offset));
    }
    if (!PowerOfTwo(s.post_scale) || Get<uint32_t>(bytes, at + 20) != 0) {
      return Damaged(fmt::format("section {} has a scale that is none", i));
    }
    expected = *CheckedAlignUp<uint64_t>(*end, 64);
    head.sections.push_back(s);
  }
  if (expected != head.body_bytes) {
    return Damaged(fmt::format("sections end at {}, the body at {}", expected, head.body_bytes));
  }
  return OkStatus();
}

}  // namespace

std::array<std::byte, 64> WritePackedIdentity(const PackedIdentity& identity) {
  std::array<std::byte, 64> out{};
  Put(out, 0, identity.source);
  Put(out, 8, FastHash(std::span(out).first(8), kPackedVersion));
  return out;
}

Result<uint64_t> PackedHeadBytes(std::span<const std::byte> prefix, uint64_t file_bytes) {
  const auto counts = ReadCounts(prefix, file_bytes);
  if (!counts.ok()) return counts.status();
  return counts->head;
}

Result<PackedHead> ParsePackedHead(std::span<const std::byte> bytes, uint64_t file_bytes) {
  const auto counts = ReadCounts(bytes, file_bytes);
  if (!counts.ok()) return counts.status();
  if (bytes.size() != counts->head) return Damaged("the head is not whole");
  if (HeadSum(bytes) != Get<uint64_t>(bytes, kAtSum)) return Damaged("the head's sum is wrong");
  PackedHead head;
  head.layout_version = Get<uint32_t>(bytes, kAtLayout);
  std::memcpy(head.key.data(), bytes.data() + kAtKey, head.key.size());
  head.content = Get<uint64_t>(bytes, kAtContent);
  head.body_bytes = counts->body;
  head.head_bytes = counts->head;
  if (Status s = ReadSections(bytes, *counts, head); !s.ok()) return s;
  size_t at = kPackedPrefixBytes + static_cast<size_t>(counts->sections * kSectionBytes);
  head.chunk_sums.reserve(counts->chunks);
  for (uint64_t i = 0; i < counts->chunks; ++i, at += 8) {
    head.chunk_sums.push_back(Get<uint64_t>(bytes, at));
  }
  head.label.assign(reinterpret_cast<const char*>(bytes.data()) + at, static_cast<size_t>(counts->label));
  const auto identity = bytes.subspan(kPackedIdentityOffset, 64);
  if (Get<uint64_t>(identity, 8) == FastHash(identity.first(8), kPackedVersion)) {
    head.identity.source = Get<uint64_t>(identity, 0);
  }
  return head;
}

std::vector<std::byte> WritePackedHead(PackedHead& head) {
  if (head.label.size() > kPackedLabelBytesMax) head.label.resize(kPackedLabelBytesMax);
  const uint64_t used = kPackedPrefixBytes + head.sections.size() * kSectionBytes +
                        head.chunk_sums.size() * 8 + head.label.size();
  std::vector<std::byte> out(*CheckedAlignUp<uint64_t>(used, kPackedAlign));
  head.head_bytes = out.size();
  std::memcpy(out.data(), kMagic, sizeof kMagic);
  Put(out, kAtVersion, kPackedVersion);
  Put(out, kAtLayout, head.layout_version);
  Put(out, kAtHeadBytes, uint64_t{out.size()});
  Put(out, kAtBodyBytes, head.body_bytes);
  Put(out, kAtSections, static_cast<uint32_t>(head.sections.size()));
  Put(out, kAtChunkBytes, static_cast<uint32_t>(kPackedChunkBytes));
  Put(out, kAtChunks, static_cast<uint32_t>(head.chunk_sums.size()));
  Put(out, kAtLabelBytes, static_cast<uint32_t>(head.label.size()));
  std::memcpy(out.data() + kAtKey, head.key.data(), head.key.size());
  Put(out, kAtContent, head.content);
  size_t at = kPackedPrefixBytes;
  for (const PackedSection& s : head.sections) {
    Put(out, at, s.offset);
    Put(out, at + 8, s.bytes);
    Put(out, at + 16, std::bit_cast<uint32_t>(s.post_scale));
    at += kSectionBytes;
  }
  for (const uint64_t sum : head.chunk_sums) {
    Put(out, at, sum);
    at += 8;
  }
  std::memcpy(out.data() + at, head.label.data(), head.label.size());
  const auto identity = WritePackedIdentity(head.identity);
  std::memcpy(out.data() + kPackedIdentityOffset, identity.data(), identity.size());
  Put(out, kAtSum, HeadSum(out));
  CHECK(ParsePackedHead(out, head.head_bytes + head.padded_body_bytes()).ok(), "a head that is not read");
  return out;
}

}  // namespace pelton::format
