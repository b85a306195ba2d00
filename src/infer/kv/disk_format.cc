#include "kv/disk_format.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "codec/sha256.h"

namespace pelton::kv {

namespace {

constexpr char kMagic[8] = {'P', 'L', 'T', 'N', 'K', 'V', 'B', '1'};
constexpr uint32_t kVersion = 1;

// Offsets in the header; integers are little-endian, the rest up to kDiskHeaderBytes is zero.
constexpr size_t kVersionAt = 8, kHeaderBytesAt = 12, kHashAt = 16, kScopeAt = 32, kSaltAt = 64,
                 kTokensAt = 96, kBlockTokensAt = 100, kDataBytesAt = 104, kRestAt = 112;

static_assert(std::endian::native == std::endian::little, "headers are copied as they are");

template <typename T>
void Put(std::string* header, size_t at, const T& value) {
  std::memcpy(header->data() + at, &value, sizeof(value));
}

template <typename T>
T Get(std::span<const std::byte> bytes, size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::optional<size_t> DiskFileBytes(size_t tokens, size_t data_bytes) {
  if (tokens > kDiskTokensMax || data_bytes > kDiskDataBytesMax) return std::nullopt;
  return kDiskHeaderBytes + tokens * sizeof(int32_t) + data_bytes + kDiskMacBytes;
}

std::string DiskPrologue(const DiskName& name, size_t data_bytes) {
  std::string out(kDiskHeaderBytes + name.tokens.size_bytes(), '\0');
  Put(&out, 0, kMagic);
  Put(&out, kVersionAt, kVersion);
  Put(&out, kHeaderBytesAt, static_cast<uint32_t>(kDiskHeaderBytes));
  Put(&out, kHashAt, name.hash);
  Put(&out, kScopeAt, name.scope);
  Put(&out, kSaltAt, name.salt);
  Put(&out, kTokensAt, static_cast<uint32_t>(name.tokens.size()));
  Put(&out, kBlockTokensAt, name.block_tokens);
  Put(&out, kDataBytesAt, static_cast<uint64_t>(data_bytes));
  std::memcpy(out.data() + kDiskHeaderBytes, name.tokens.data(), name.tokens.size_bytes());
  return out;
}

// HMAC-SHA-256 (RFC 2104).
TenantSalt DiskMac(const ServerKey& key, std::span<const std::byte> prologue,
                   std::span<const std::byte> data) {
  std::string inner(64, '\x36');
  std::string outer(64, '\x5c');
  for (size_t i = 0; i < key.size(); ++i) {
    inner[i] = static_cast<char>(inner[i] ^ key[i]);
    outer[i] = static_cast<char>(outer[i] ^ key[i]);
  }
  codec::Sha256Stream stream;
  stream.Push(inner);
  stream.Push(Text(prologue));
  stream.Push(Text(data));
  const codec::Sha256Digest digest = stream.Finish();
  stream.Push(outer);
  stream.Push(Text(std::as_bytes(std::span(digest))));
  return stream.Finish();
}

Result<std::span<const std::byte>> ReadDiskBlock(std::span<const std::byte> file,
                                                 const ServerKey& key, const DiskName& name,
                                                 size_t data_bytes) {
  const auto wanted = DiskFileBytes(name.tokens.size(), data_bytes);
  if (!wanted || file.size() != *wanted) return InvalidArgument("its length is not a block's");
  // What was asked for has exactly one prologue: one comparison checks every field and the text.
  const std::string prologue = DiskPrologue(name, data_bytes);
  if (Text(file.first(prologue.size())) != prologue) {
    if (std::memcmp(file.data(), kMagic, sizeof(kMagic)) != 0 ||
        Get<uint32_t>(file, kVersionAt) != kVersion) {
      return InvalidArgument("it is no block of this version");
    }
    return InvalidArgument("it holds another text");
  }
  const auto data = file.subspan(prologue.size(), data_bytes);
  const TenantSalt mac = DiskMac(key, file.first(prologue.size()), data);
  if (!codec::ConstantTimeEqual(mac, Get<TenantSalt>(file, prologue.size() + data_bytes))) {
    return InvalidArgument("its bytes are damaged");
  }
  return data;
}

std::string DiskFileName(const BlockHash& hash) {
  return codec::EncodeHex(Text(std::as_bytes(std::span(&hash, 1))));
}

std::optional<BlockHash> ParseDiskFileName(std::string_view name) {
  if (name.size() != 2 * sizeof(BlockHash)) return std::nullopt;
  std::array<uint8_t, sizeof(BlockHash)> bytes{};
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    bytes[i / 2] = static_cast<uint8_t>(bytes[i / 2] << 4 | digit);
  }
  BlockHash hash;
  std::memcpy(&hash, bytes.data(), bytes.size());
  return hash;
}

}  // namespace pelton::kv
