#include "server/playground.h"

#include <algorithm>
#include <string>

#include "api/status_map.h"
#include "server/embedded_file.h"

namespace pelton::server {
namespace {

// Nothing but this server's own files and API; trusted types make the browser refuse any text that
// would become markup.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

std::string_view ContentType(std::string_view path) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".svg", "image/svg+xml"},
  };
  for (const auto& [suffix, type] : kTypes) {
    if (path.ends_with(suffix)) return type;
  }
  return "application/octet-stream";
}

// If-None-Match: "*", or a list of tags, weak ones too (RFC 9110, 13.1.2).
bool Names(std::string_view list, std::string_view tag) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view one = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (one.starts_with(' ') || one.starts_with('\t')) one.remove_prefix(1);
    while (one.ends_with(' ') || one.ends_with('\t')) one.remove_suffix(1);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == tag) return true;
  }
  return false;
}

void Serve(const api::Call& call, std::string_view path) {
  call.exchange->Respond(
      PlaygroundFile(path, call.exchange->head().headers.Find("if-none-match")));
}

}  // namespace

net::Response PlaygroundFile(std::string_view path,
                             std::optional<std::string_view> if_none_match) {
  const auto files = PlaygroundFiles();
  const auto file = std::find_if(files.begin(), files.end(),
                                 [path](const EmbeddedFile& f) { return f.path == path; });
  if (file == files.end()) return api::HttpErrorResponse(404, "the playground has no such file");
  const std::string tag = "\"" + std::string(file->sha256.substr(0, 32)) + "\"";
  net::Response response;
  response.headers.Add("etag", tag);
  // What lies in assets/ carries a hash of its content in its name.
  response.headers.Add("cache-control", path.starts_with("assets/")
                                            ? "public, max-age=31536000, immutable"
                                            : "no-cache");
  response.headers.Add("content-security-policy", std::string(kPolicy));
  response.headers.Add("referrer-policy", "no-referrer");
  response.headers.Add("x-frame-options", "DENY");
  response.headers.Add("cross-origin-opener-policy", "same-origin");
  response.headers.Add("cross-origin-resource-policy", "same-origin");
  if (if_none_match && Names(*if_none_match, tag)) {
    response.status = 304;
    return response;
  }
  response.headers.Add("content-type", std::string(ContentType(path)));
  response.body = std::string(file->bytes);
  return response;
}

void PlaygroundPage(const api::Call& call) { Serve(call, "index.html"); }

void PlaygroundAsset(const api::Call& call) { Serve(call, "assets/" + call.path_parameter); }

}  // namespace pelton::server
