// Any bytes as a connection's input, in pieces that the input itself chooses: the events must not
// depend on the pieces, what is kept must stay within the limits, and what comes out must be clean.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "codec/utf8.h"
#include "net/request_reader.h"

namespace {

using pelton::net::ReaderLimits;
using pelton::net::RequestReader;

constexpr ReaderLimits kLimits{
    .target_bytes_max = 256, .header_bytes_max = 512, .header_count_max = 8};
constexpr uint64_t kBodyBytesMax = 128;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckRequest(RequestReader& reader) {
  const pelton::net::RequestHead& head = reader.head();
  Require(!head.method.empty() && head.method.size() <= pelton::net::kMethodBytesMax);
  Require(head.target.size() <= kLimits.target_bytes_max);
  Require(head.path == "*" || head.path.starts_with('/'));
  Require(head.path.find("//") == std::string::npos && head.path.find('\0') == std::string::npos);
  Require((head.path + "/").find("/../") == std::string::npos);
  Require((head.path + "/").find("/./") == std::string::npos);
  Require(pelton::codec::ValidUtf8(head.path));
  Require(head.headers.all().size() <= static_cast<size_t>(kLimits.header_count_max));
  for (const auto& [name, value] : head.headers.all()) {
    Require(!name.empty() && name.find_first_of(" \t\r\n:") == std::string::npos);
    Require(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
  Require(head.headers.Count("host") <= 1 && head.headers.Count("content-length") <= 1);
  Require(!(head.headers.Count("content-length") == 1 &&
            head.headers.Count("transfer-encoding") == 1));
  Require(reader.body().size() <= kBodyBytesMax);
  if (head.content_length) Require(reader.body().size() == *head.content_length);
}

// A line for each event, in pieces of `piece` bytes at most.
std::string Events(std::string_view bytes, size_t piece) {
  RequestReader reader(kLimits);
  std::string events;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    while (!part.empty()) {
      switch (reader.Next(&part)) {
        case RequestReader::Event::kNeedMore: Require(part.empty()); break;
        case RequestReader::Event::kHead:
          events += "head " + reader.head().method + " " + reader.head().path + "\n";
          reader.StartBody(kBodyBytesMax);
          // A request without a body is whole at once, whether or not more bytes are there.
          if (part.empty()) {
            if (reader.Next(&part) == RequestReader::Event::kRequest) {
              CheckRequest(reader);
              events += "request " + reader.body() + "\n";
              reader.Reset();
            } else if (reader.Next(&part) == RequestReader::Event::kRefused) {
              return events + std::to_string(reader.refusal().status);
            }
          }
          break;
        case RequestReader::Event::kRequest:
          CheckRequest(reader);
          events += "request " + reader.body() + "\n";
          reader.Reset();
          break;
        case RequestReader::Event::kRefused:
          return events + std::to_string(reader.refusal().status);
      }
    }
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = Events(bytes, SIZE_MAX);
  // A refusal may come earlier or later in pieces, never differently.
  const std::string pieces = Events(bytes, 1 + data[0] % 16);
  Require(whole == pieces);
  return 0;
}
