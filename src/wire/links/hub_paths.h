// Whether a path from outside may be joined to a folder of ours.
#pragma once

#include <string_view>

namespace pelton::links {

// Relative, with no empty, "." or ".." part, no backslash, colon or control character, at most 1024
// bytes.
bool HubPathIsSafe(std::string_view path);

}  // namespace pelton::links
