// JSON text: either refused, or a value that survives being written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/json.h"
#include "codec/json_write.h"
#include "codec/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = pelton::codec::ParseJson(text);
  if (!value.ok()) return 0;
  const std::string written = pelton::codec::WriteJson(*value);
  if (!pelton::codec::ValidUtf8(written)) std::abort();
  const auto again = pelton::codec::ParseJson(written);
  if (!again.ok() || !(*again == *value)) std::abort();
  return 0;
}
