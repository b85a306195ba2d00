#include <algorithm>
#include <cctype>

#include "api/status_map.h"
#include "server/steps/steps.h"

namespace pelton::server {
namespace {

// http://localhost:3000 and the like.
bool IsLoopbackOrigin(std::string_view origin) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!origin.starts_with(scheme)) continue;
    std::string_view rest = origin.substr(scheme.size());
    const size_t colon = rest.rfind(':');
    const bool has_port = colon != std::string_view::npos && rest.find(']', colon) == rest.npos;
    if (has_port) rest = rest.substr(0, colon);
    return IsLoopbackHost(rest);
  }
  return false;
}

// The page that this server itself gave out: "http://box.lan:8080" when asked for as Host
// "box.lan:8080". Only CheckHost's verdict on that Host, which came before, makes this safe: with
// DNS rebinding the two are equal too. Browsers leave a scheme's own port out of both.
bool IsOwnOrigin(const net::RequestHead& head, std::string_view origin) {
  const auto host = head.headers.Find("host");
  if (!host || head.headers.Count("host") != 1 || head.headers.Count("origin") != 1) return false;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!origin.starts_with(scheme)) continue;
    const std::string_view rest = origin.substr(scheme.size());
    return std::equal(rest.begin(), rest.end(), host->begin(), host->end(), [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) ==
             std::tolower(static_cast<unsigned char>(b));
    });
  }
  return false;
}

bool Allowed(const std::vector<std::string>& origins, std::string_view origin) {
  return std::any_of(origins.begin(), origins.end(), [&](const std::string& allowed) {
    return allowed == "*" || allowed == origin;
  });
}

net::Response Preflight() {
  net::Response response;
  response.status = 204;
  response.headers.Add("access-control-allow-methods", "GET, HEAD, POST, OPTIONS");
  response.headers.Add("access-control-allow-headers",
                       "authorization, content-type, x-api-key, x-request-id, "
                       "x-request-timeout-ms");
  response.headers.Add("access-control-max-age", "600");
  return response;
}

}  // namespace

// Pages of other origins: let in when configured, told so by CORS headers; without keys on loopback
// they are refused, because such requests do arrive even when the page may not read the answer.
Refusal CheckOrigin(const StepContext& context, const net::RequestHead& head, RequestFacts* facts) {
  const auto origin = head.headers.Find("origin");
  if (!origin) return std::nullopt;
  if (Allowed(context.options.cors_origins, *origin)) {
    facts->cors_origin = *origin;
    const bool preflight = head.method == "OPTIONS" &&
                           head.headers.Find("access-control-request-method").has_value();
    return preflight ? Refusal(Preflight()) : std::nullopt;
  }
  if (!context.check_host || IsLoopbackOrigin(*origin) || IsOwnOrigin(head, *origin)) {
    return std::nullopt;
  }
  return api::HttpErrorResponse(
      403, "pages of this origin may not call this server; start with --cors-origin ORIGIN");
}

}  // namespace pelton::server
