// A configuration file: refused, or a tree within its bounds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/node.h"

namespace {

size_t Count(const pelton::config::Node& node, int depth) {
  if (depth > pelton::config::kYamlDepthMax + 1) std::abort();
  size_t nodes = 1;
  for (const auto& item : node.items) nodes += Count(item, depth + 1);
  for (const auto& [key, value] : node.members) nodes += Count(value, depth + 1);
  return nodes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto root = pelton::config::ParseYaml({reinterpret_cast<const char*>(data), size});
  if (root.ok() && Count(*root, 0) > pelton::config::kYamlNodesMax + 1) std::abort();
  return 0;
}
