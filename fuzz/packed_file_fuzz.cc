// Any bytes into the reader of packed files' heads, as they are and with the sum over them made right:
// a checked head or a one-line error.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/fast_hash.h"
#include "format/packed_file.h"

namespace {

namespace format = pelton::format;

void Require(bool holds) {
  if (!holds) std::abort();
}

void Check(std::span<const std::byte> bytes, uint64_t file_bytes) {
  const auto size = format::PackedHeadBytes(bytes, file_bytes);
  const auto head = format::ParsePackedHead(bytes, file_bytes);
  if (!head.ok()) {
    const std::string& message = head.status().message();
    Require(!message.empty() && message.size() < 512 && message.find('\n') == std::string::npos);
    return;
  }
  Require(size.ok() && *size == bytes.size());
  Require(head->head_bytes + head->padded_body_bytes() == file_bytes);
  uint64_t end = 0;
  for (const format::PackedSection& s : head->sections) {
    Require(s.offset >= end && s.bytes > 0 && s.offset <= head->body_bytes &&
            s.bytes <= head->body_bytes - s.offset);
    end = s.offset + s.bytes;
  }
  format::PackedHead again = *head;
  format::WritePackedHead(again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  uint64_t body = 0;
  if (size >= 32) std::memcpy(&body, data + 24, 8);
  const uint64_t file_bytes = size + (body + 4095) / 4096 * 4096;
  Check(bytes, file_bytes);
  if (size < format::kPackedPrefixBytes) return 0;
  const std::span<const std::byte> all(bytes);
  const uint64_t sum =
      pelton::FastHash(all.subspan(format::kPackedPrefixBytes), pelton::FastHash(all.first(88)));
  std::memcpy(bytes.data() + 88, &sum, sizeof sum);
  Check(bytes, file_bytes);
  return 0;
}
