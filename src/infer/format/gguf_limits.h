// Bounds of what the GGUF reader accepts; docs/formats/gguf.md has the same table with reasons.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pelton::format {

inline constexpr uint64_t kGgufKeysMax = 8192;              // key-value pairs of a file
inline constexpr uint64_t kGgufTensorsMax = 65536;          // tensors of a model, all shards
inline constexpr uint64_t kGgufKeyBytesMax = 65535;         // the specification's own bound
inline constexpr uint64_t kGgufTensorNameBytesMax = 256;    // the specification says 64
inline constexpr uint64_t kGgufStringBytesMax = 16u << 20;  // one string value (chat templates)
// Elements of all arrays of a file. Gemma's 262 k vocabulary needs 1.3 M; one element costs at most
// 16 bytes of memory, so metadata stays below 64 MiB.
inline constexpr uint64_t kGgufArrayElementsMax = 4u << 20;
inline constexpr uint32_t kGgufDimsMax = 4;
inline constexpr uint32_t kGgufAlignmentMin = 8;  // the specification asks for a multiple of 8
inline constexpr uint32_t kGgufAlignmentMax = 65536;
inline constexpr uint32_t kGgufAlignmentDefault = 32;
inline constexpr uint32_t kGgufShardsMax = 512;
inline constexpr size_t kGgufShownNameBytesMax = 96;  // of a name inside an error message

}  // namespace pelton::format
