#include "config/nearest.h"

#include <algorithm>
#include <array>

namespace pelton::config {
namespace {
constexpr size_t kWordMax = 64;
}  // namespace

// Optimal string alignment distance (Damerau 1964, restricted), three rows of the table.
int EditDistance(std::string_view a, std::string_view b) {
  if (a.size() > kWordMax || b.size() > kWordMax) return static_cast<int>(kWordMax) + 1;
  std::array<std::array<int, kWordMax + 1>, 3> rows{};
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& here = rows[i % 3];
    const auto& above = rows[(i - 1) % 3];
    here[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      here[j] = std::min({above[j] + 1, here[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        here[j] = std::min(here[j], rows[(i - 2) % 3][j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

std::string NearestHint(std::string_view word, std::span<const std::string> known) {
  const std::string* best = nullptr;
  int best_distance = static_cast<int>(std::max<size_t>(1, word.size() / 3)) + 1;
  for (const std::string& candidate : known) {
    const int distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = &candidate;
    }
  }
  return best == nullptr ? "" : "; did you mean '" + *best + "'?";
}

}  // namespace pelton::config
