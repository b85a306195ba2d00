// The bytes of one block on disk (docs/formats/prefix-cache.md). Pure: no files, no threads. A file is
// believed only when every length fits, its MAC is this server's, and it names exactly the text,
// tenant and model that were asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/status.h"
#include "kv/prefix_hash.h"

namespace pelton::kv {

// What a file must say of itself; spans point into the owner's memory.
struct DiskName {
  BlockHash hash;
  TenantSalt scope{};               // model, kernel table, layout
  TenantSalt salt{};                // tenant
  std::span<const int32_t> tokens;  // all from the beginning of the text to the end of the block
  uint32_t block_tokens = 0;
};

inline constexpr size_t kDiskHeaderBytes = 128;
inline constexpr size_t kDiskMacBytes = 32;
inline constexpr size_t kDiskTokensMax = size_t{1} << 24;
inline constexpr size_t kDiskDataBytesMax = size_t{1} << 32;

// Bytes of a file; nothing when a size is beyond what the format has.
std::optional<size_t> DiskFileBytes(size_t tokens, size_t data_bytes);

// Everything before the data: header and tokens.
std::string DiskPrologue(const DiskName& name, size_t data_bytes);
// Over prologue and data.
TenantSalt DiskMac(const ServerKey& key, std::span<const std::byte> prologue,
                   std::span<const std::byte> data);

// The data inside `file`, or INVALID_ARGUMENT with the reason.
Result<std::span<const std::byte>> ReadDiskBlock(std::span<const std::byte> file,
                                                 const ServerKey& key, const DiskName& name,
                                                 size_t data_bytes);

std::string DiskFileName(const BlockHash& hash);  // 32 hexadecimal digits
std::optional<BlockHash> ParseDiskFileName(std::string_view name);

}  // namespace pelton::kv
