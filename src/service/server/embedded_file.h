// Files that are part of the program; cmake/EmbedFiles.cmake writes their bytes.
#pragma once

#include <span>
#include <string_view>

namespace pelton::server {

struct EmbeddedFile {
  std::string_view path;    // below its folder: "assets/index-1a2b.js"
  std::string_view bytes;
  std::string_view sha256;  // 64 hexadecimal digits
};

// web/dist, sorted by path.
std::span<const EmbeddedFile> PlaygroundFiles();

}  // namespace pelton::server
