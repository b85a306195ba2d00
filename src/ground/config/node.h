// A YAML document as a plain tree, so that the YAML library stays inside this room.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace pelton::config {

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string scalar;
  std::vector<Node> items;
  std::vector<std::pair<std::string, Node>> members;  // in file order; keys are unique
  int line = 0;                                       // 1-based

  // Defined in node.cc, where the pair of `members` is a complete type (clang insists on it).
  Node();
  Node(const Node&);
  Node(Node&&) noexcept;
  Node& operator=(const Node&);
  Node& operator=(Node&&) noexcept;
  ~Node();
};

inline constexpr size_t kYamlBytesMax = size_t{1} << 20;
inline constexpr int kYamlDepthMax = 16;
inline constexpr size_t kYamlNodesMax = 100'000;  // aliases are expanded, so count what they make

// INVALID_ARGUMENT with the line for anything that is not one plain document.
Result<Node> ParseYaml(std::string_view text);

}  // namespace pelton::config
