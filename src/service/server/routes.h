// The route table: every path that the server knows, in one place. Routing, authorisation, body
// limits, /openapi.json and the tests' matrix all come from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "api/app.h"

namespace pelton::server {

enum class Access : uint8_t {
  kOpen,      // probes: no key
  kPage,      // the playground: no key, not there with --playground off, not part of the API
  kUser,      // any key
  kOperator,  // keys of role operator
};
std::string_view AccessName(Access access);

// Which request and answer /openapi.json describes for a route.
enum class BodyKind : uint8_t { kNone, kChat, kCompletions, kTokenize, kDetokenize, kMessages, kCountTokens,
                                kOllamaChat, kOllamaGenerate, kOllamaShow, kOllamaPull, kLlamaCpp, kApplyTemplate,
                                kModelAction };

struct Route {
  std::string_view method;   // GET routes also answer HEAD
  std::string_view pattern;  // at most one "{name}", which may span slashes
  Access access;
  BodyKind body;
  api::Handler handler;      // null: known and not there (501); the summary says what instead
  bool starts_work;          // refused while draining
  std::string_view summary;
};

std::span<const Route> RouteTable();

struct RouteMatch {
  const Route* route = nullptr;
  std::string parameter;
  std::string allow;  // methods of the path; empty when no route has it
};
RouteMatch FindRoute(std::string_view method, std::string_view path);

// True for the paths of routes with access kPage, with any method.
bool IsPagePath(std::string_view path);

// GET /openapi.json: OpenAPI 3.1 of the table.
void OpenApi(const api::Call& call);
std::string OpenApiText(std::string_view version);

}  // namespace pelton::server
