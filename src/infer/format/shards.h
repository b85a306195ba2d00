// The names of a model split over several files: "stem-00001-of-00004.gguf".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pelton::format {

struct ShardName {
  std::string stem;    // with its folder
  uint32_t number = 0; // 1…count as written; not yet checked against each other
  uint32_t count = 0;

  std::string Path(uint32_t shard_number) const;
};

// Nothing when the path does not end in "-NNNNN-of-NNNNN.gguf".
std::optional<ShardName> ParseShardName(std::string_view path);

}  // namespace pelton::format
