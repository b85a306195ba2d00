// One GGUF file in memory → its metadata and tensors. Source: the GGUF specification (versions 2
// and 3, which differ only in the byte orders they allow).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"

namespace pelton::format {

struct GgufContents {
  Metadata metadata;            // strings point into the bytes given
  std::vector<Tensor> tensors;  // in file order; `data` points into the bytes given
};

// Pure function of its input; any bytes are answered with contents or a one-line error, with memory
// bounded by gguf_limits.h. INVALID_ARGUMENT for a damaged file, UNIMPLEMENTED for what we do not
// read, each naming key or tensor.
Result<GgufContents> ParseGguf(std::span<const std::byte> bytes);

// A name out of a file made fit for a one-line message: unprintable bytes as \xNN, cut when long.
std::string ShownName(std::string_view name);

}  // namespace pelton::format
