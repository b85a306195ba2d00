// The files of the prefix cache on disk: nothing in them is trusted. The input is a file; it is read
// as a block of a fixed name, and once more with its own sum put right, so that the checks behind the
// sum are reached too.
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/assert.h"
#include "kv/disk_format.h"

using namespace pelton;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const kv::ServerKey key{1, 2, 3};
  static const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  const kv::DiskName name{.hash = {.low = 1, .high = 2}, .scope = {3}, .salt = {4},
                          .tokens = tokens, .block_tokens = 4};
  std::vector<std::byte> file(size);
  if (size > 0) std::memcpy(file.data(), bytes, size);
  for (const size_t data_bytes : {size_t{0}, size_t{64}, size > 192 ? size - 192 : size_t{1}}) {
    (void)kv::ReadDiskBlock(file, key, name, data_bytes);
    const size_t whole = *kv::DiskFileBytes(tokens.size(), data_bytes);
    if (size != whole) continue;
    const auto head = std::span<const std::byte>(file).first(whole - data_bytes - kv::kDiskMacBytes);
    const auto mac = kv::DiskMac(key, head, std::span(file).subspan(head.size(), data_bytes));
    std::memcpy(file.data() + whole - mac.size(), mac.data(), mac.size());
    const auto data = kv::ReadDiskBlock(file, key, name, data_bytes);
    // Believed: then it says exactly what was asked for.
    if (data.ok()) {
      const std::string prologue = kv::DiskPrologue(name, data_bytes);
      CHECK(std::memcmp(file.data(), prologue.data(), prologue.size()) == 0, "another text");
      CHECK(data->size() == data_bytes, "another length");
    }
  }
  const std::string_view word(reinterpret_cast<const char*>(bytes), size);
  if (const auto hash = kv::ParseDiskFileName(word)) {
    CHECK(kv::DiskFileName(*hash) == word, "a name that does not come back");
  }
  return 0;
}
