// One safetensors file in memory → its tensors. Source: the format's description at
// github.com/huggingface/safetensors: eight bytes of header length, a JSON object of
// {name: {dtype, shape, data_offsets}}, then the data, without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "format/model_file.h"

namespace pelton::format {

inline constexpr uint64_t kSafetensorsHeaderBytesMax = 16u << 20;

// Pure function of its input; any bytes are answered with tensors (under the file's own names, `data`
// pointing into the bytes given) or a one-line error. INVALID_ARGUMENT for a damaged file,
// UNIMPLEMENTED for element types other than F32, F16 and BF16, naming the tensor.
Result<std::vector<Tensor>> ParseSafetensors(std::span<const std::byte> bytes);

}  // namespace pelton::format
