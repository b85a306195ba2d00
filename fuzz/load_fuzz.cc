// pelton-load's reading of what a server says: any bytes in any pieces give the same body and the
// same end, and events of any content are read or refused.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "load/delta.h"
#include "load/response_reader.h"

namespace {

std::string Read(std::string_view bytes, size_t piece) {
  pelton::load::ResponseReader reader;
  std::string body;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    const size_t before = body.size();
    const auto status = reader.Push(part, &body);
    if (body.size() - before > part.size()) std::abort();
    if (!status.ok()) return "refused: " + status.message();
  }
  return body + "|" + std::to_string(reader.status()) + (reader.End().ok() ? "whole" : "cut");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (Read(text, 1 + data[0] % 16) != Read(text, text.size() + 1)) std::abort();
  const auto delta = pelton::load::ReadDelta(text);
  if (!delta.ok() && delta.status().message().empty()) std::abort();
  (void)pelton::load::ErrorText(text);
  return 0;
}
