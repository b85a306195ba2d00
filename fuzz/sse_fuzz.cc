// Server-sent events: any bytes in any pieces give the same events within the limits, and any data
// that is written comes back as one event with the same lines.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "codec/sse.h"

namespace {

using pelton::codec::SseEvent;
using pelton::codec::SseLimits;
using pelton::codec::SseParser;

constexpr SseLimits kLimits{.line_bytes_max = 64, .event_bytes_max = 128};

std::string Read(std::string_view bytes, size_t piece, const SseLimits& limits) {
  SseParser parser(limits);
  std::string events;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    const auto status = parser.Push(part, [&](const SseEvent& event) {
      if (event.data.size() > limits.event_bytes_max) std::abort();
      events += event.name + "|" + event.data + "|" + event.id + "\n";
    });
    if (!status.ok()) return events + "refused";
  }
  return events;
}

// The data as a reader sees it: every kind of line break is LF.
std::string Normalised(std::string_view data) {
  std::string out;
  for (size_t i = 0; i < data.size(); ++i) {
    if (data[i] == '\r' && i + 1 < data.size() && data[i + 1] == '\n') continue;
    out.push_back(data[i] == '\r' ? '\n' : data[i]);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (Read(bytes, SIZE_MAX, kLimits) != Read(bytes, 1 + data[0] % 8, kLimits)) std::abort();

  std::string stream;
  pelton::codec::AppendSseComment(bytes, &stream);
  pelton::codec::AppendSseData(bytes, &stream);
  pelton::codec::AppendSseData("end", &stream);
  const std::string events = Read(stream, SIZE_MAX, SseLimits{});
  if (events != "message|" + Normalised(bytes) + "|\nmessage|end|\n") std::abort();
  return 0;
}
