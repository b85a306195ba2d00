// RAII and Status over the C ABI of libpelton_rust. Inside this room only.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "pelton_rust.h"

namespace pelton::text {

inline pelton_rust_str RustStr(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct RustBytes {
  pelton_rust_bytes raw{};
  RustBytes() = default;
  RustBytes(const RustBytes&) = delete;
  RustBytes& operator=(const RustBytes&) = delete;
  ~RustBytes() { pelton_rust_bytes_free(&raw); }
  std::string_view view() const { return {reinterpret_cast<const char*>(raw.data), raw.size}; }
};

struct RustIds {
  pelton_rust_ids raw{};
  RustIds() = default;
  RustIds(const RustIds&) = delete;
  RustIds& operator=(const RustIds&) = delete;
  ~RustIds() { pelton_rust_ids_free(&raw); }
};

// A limit is the caller's doing too: a template that loops, text that grows.
inline Status RustStatus(int32_t code, const RustBytes& error) {
  if (code == PELTON_RUST_OK) return {};
  const StatusCode is = code == PELTON_RUST_INTERNAL ? StatusCode::kInternal : StatusCode::kInvalidArgument;
  return {is, std::string(error.view())};
}

}  // namespace pelton::text
