// The request target and the host: the one place where a path is made from bytes of the network.
// Pure functions, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pelton::net {

// Why a request is refused: the status to answer and a reason in plain words (a constant).
struct Refusal {
  int status = 400;
  std::string_view reason;
};

struct Target {
  std::string path;   // percent-decoded once; starts with '/', or is "*" (OPTIONS)
  std::string query;  // raw
};

// Takes origin-form ("/a?b"), absolute-form ("http://host/a", whose authority must be `host`) and,
// for OPTIONS, "*". Refused: a fragment, backslashes, bytes outside visible ASCII, bad percent
// escapes, and decoded paths with control characters, backslashes, ill-formed UTF-8, "//", "/./" or
// "/../": whoever looks at the path afterwards sees the same one.
std::optional<Refusal> ParseTarget(std::string_view method, std::string_view target,
                                   std::string_view host, Target* out);

// RFC 9110 section 7.2 with RFC 3986's host and port: a name, an IPv4 address or "[IPv6]", and
// perhaps a port from 0 to 65535; never empty, no user information, path or query.
bool ValidHost(std::string_view host);

}  // namespace pelton::net
