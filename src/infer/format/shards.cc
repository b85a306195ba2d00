#include "format/shards.h"

#include <fmt/format.h>

#include <charconv>

namespace pelton::format {
namespace {

constexpr std::string_view kTail = "-00001-of-00004.gguf";  // its length and fixed parts

bool FiveDigits(std::string_view text, uint32_t* out) {
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return std::from_chars(text.data(), text.data() + text.size(), *out).ec == std::errc();
}

}  // namespace

std::string ShardName::Path(uint32_t shard_number) const {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, shard_number, count);
}

std::optional<ShardName> ParseShardName(std::string_view path) {
  if (path.size() < kTail.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kTail.size());
  ShardName name;
  if (tail[0] != '-' || !FiveDigits(tail.substr(1, 5), &name.number) ||
      tail.substr(6, 4) != "-of-" || !FiveDigits(tail.substr(10, 5), &name.count) ||
      tail.substr(15) != ".gguf") {
    return std::nullopt;
  }
  name.stem = std::string(path.substr(0, path.size() - kTail.size()));
  return name;
}

}  // namespace pelton::format
