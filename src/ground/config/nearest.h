// "did you mean": the known word closest to one that is unknown.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace pelton::config {

// Edits (insert, delete, replace, swap of neighbours) between two words; words longer than 64 bytes
// count as entirely different.
int EditDistance(std::string_view a, std::string_view b);

// "; did you mean 'port'?" when a known word is near enough (a third of its letters), else "".
std::string NearestHint(std::string_view word, std::span<const std::string> known);

}  // namespace pelton::config
