#include <algorithm>

#include "api/status_map.h"
#include "server/steps/steps.h"

namespace pelton::server {
namespace {

// "name:8080" → "name"; "[::1]:8080" → "[::1]". Empty when it is neither.
std::string_view NameOf(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return end == std::string_view::npos ? std::string_view() : host.substr(0, end + 1);
  }
  const size_t colon = host.find(':');
  if (colon == std::string_view::npos) return host;
  const std::string_view port = host.substr(colon + 1);
  const bool digits = port.find_first_not_of("0123456789") == std::string_view::npos;
  return digits ? host.substr(0, colon) : std::string_view();
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

}  // namespace

// Against DNS rebinding: a page of some other site whose name was pointed at 127.0.0.1 still sends
// its own name. Where a key is needed the browser has none to send, so only the keyless case
// checks.
Refusal CheckHost(const StepContext& context, const net::RequestHead& head, RequestFacts*) {
  if (!context.check_host) return std::nullopt;
  const auto host = head.headers.Find("host");
  if (!host) return std::nullopt;  // HTTP/1.0; a browser always sends it
  const std::string name = LowerCase(NameOf(*host));
  if (head.headers.Count("host") == 1 && IsLoopbackHost(name)) return std::nullopt;
  const auto& allowed = context.options.allowed_hosts;
  if (std::find(allowed.begin(), allowed.end(), name) != allowed.end()) return std::nullopt;
  return api::HttpErrorResponse(
      403, "this Host is not served here; ask for localhost, or start with --allowed-host NAME");
}

}  // namespace pelton::server
