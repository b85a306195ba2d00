#include "server/routes.h"

#include "api/admin/handlers.h"
#include "api/openai/handlers.h"

namespace pelton::server {
namespace {

namespace admin = api::admin;
namespace openai = api::openai;
using enum Access;

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", kUser, BodyKind::kChat, openai::ChatCompletions, true,
     "Answer a conversation."},
    {"POST", "/v1/completions", kUser, BodyKind::kCompletions, openai::Completions, true,
     "Continue texts or token ids."},
    {"GET", "/v1/models", kUser, BodyKind::kNone, openai::ListModels, false,
     "The models that are served."},
    {"GET", "/v1/models/{id}", kUser, BodyKind::kNone, openai::GetModel, false, "One model."},
    {"POST", "/tokenize", kUser, BodyKind::kTokenize, openai::Tokenize, true,
     "Text to token ids (vLLM's and llama.cpp's shapes)."},
    {"POST", "/detokenize", kUser, BodyKind::kDetokenize, openai::Detokenize, true,
     "Token ids to text."},
    {"GET", "/healthz", kOpen, BodyKind::kNone, admin::Healthz, false,
     "200 while the generation loops turn."},
    {"GET", "/readyz", kOpen, BodyKind::kNone, admin::Readyz, false,
     "200 when all models are loaded and the server is not shutting down."},
    {"GET", "/health", kOpen, BodyKind::kNone, admin::Health, false,
     "503 until first ready, then as /healthz."},
    {"GET", "/ping", kOpen, BodyKind::kNone, admin::Health, false, "As /health."},
    {"GET", "/version", kUser, BodyKind::kNone, admin::Version, false, "Name and version."},
    {"GET", "/metrics", kOperator, BodyKind::kNone, admin::Metrics, false,
     "Metrics as Prometheus text."},
    {"GET", "/openapi.json", kUser, BodyKind::kNone, OpenApi, false, "This description."},
};

// The parameter when `path` has the pattern's form; nothing otherwise.
bool Matches(std::string_view pattern, std::string_view path, std::string* parameter) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) return pattern == path;
  if (!path.starts_with(pattern.substr(0, brace)) || path.size() == brace) return false;
  *parameter = path.substr(brace);
  return true;
}

}  // namespace

std::string_view AccessName(Access access) {
  switch (access) {
    case kOpen: return "open";
    case kUser: return "user";
    case kOperator: return "operator";
  }
  return "operator";
}

std::span<const Route> RouteTable() { return kRoutes; }

RouteMatch FindRoute(std::string_view method, std::string_view path) {
  RouteMatch match;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const Route& route : kRoutes) {
    std::string parameter;
    if (!Matches(route.pattern, path, &parameter)) continue;
    if (route.method == wanted) {
      match.route = &route;
      match.parameter = std::move(parameter);
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method;
    if (route.method == "GET") match.allow += ", HEAD";
  }
  if (!match.allow.empty()) match.allow += ", OPTIONS";
  return match;
}

}  // namespace pelton::server
