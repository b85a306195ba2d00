#include "server/routes.h"

#include "api/admin/handlers.h"
#include "api/anthropic/handlers.h"
#include "api/openai/handlers.h"
#include "server/playground.h"

namespace pelton::server {
namespace {

namespace admin = api::admin;
namespace anthropic = api::anthropic;
namespace openai = api::openai;
using enum Access;

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", kUser, BodyKind::kChat, openai::ChatCompletions, true,
     "Answer a conversation."},
    {"POST", "/v1/completions", kUser, BodyKind::kCompletions, openai::Completions, true,
     "Continue texts or token ids."},
    {"POST", "/v1/messages", kUser, BodyKind::kMessages, anthropic::Messages, true,
     "Answer a conversation (Anthropic's Messages API)."},
    {"POST", "/v1/messages/count_tokens", kUser, BodyKind::kCountTokens, anthropic::CountTokens, true,
     "Count a conversation's tokens (Anthropic's API)."},
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
    {"GET", "/v1/engine", kOperator, BodyKind::kNone, admin::Engine, false,
     "Memory, CPU, and of each model: what runs and waits, KV use, batch sizes, step times, pace."},
    {"GET", "/v1/requests", kUser, BodyKind::kNone, admin::Requests, false,
     "The last requests and where their time went (?limit=N, at most 1000): one's own tenant's; "
     "operators see all."},
    {"GET", "/v1/admin/models", kOperator, BodyKind::kNone, admin::ListModels, false,
     "The models with their states, files and memory."},
    {"POST", "/v1/admin/models/{name}/load", kOperator, BodyKind::kModelAction, admin::LoadModel,
     true, "Load a model, or add one from a folder of --model-dir."},
    {"POST", "/v1/admin/models/{name}/unload", kOperator, BodyKind::kModelAction,
     admin::UnloadModel, true, "Take a model out of memory once its requests are done."},
    {"POST", "/v1/admin/models/{name}/swap", kOperator, BodyKind::kModelAction, admin::SwapModel,
     true, "Load another file beside a model, then let it take the name over."},
    {"GET", "/openapi.json", kUser, BodyKind::kNone, OpenApi, false, "This description."},
    {"GET", "/", kPage, BodyKind::kNone, PlaygroundPage, false, "The playground."},
    {"GET", "/assets/{file}", kPage, BodyKind::kNone, PlaygroundAsset, false, "Its parts."},
};

// The parameter when `path` has the pattern's form; nothing otherwise.
bool Matches(std::string_view pattern, std::string_view path, std::string* parameter) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) return pattern == path;
  const std::string_view suffix = pattern.substr(pattern.find('}') + 1);
  if (path.size() <= brace + suffix.size() || !path.starts_with(pattern.substr(0, brace)) ||
      !path.ends_with(suffix)) {
    return false;
  }
  *parameter = path.substr(brace, path.size() - brace - suffix.size());
  return true;
}

}  // namespace

std::string_view AccessName(Access access) {
  switch (access) {
    case kOpen:
    case kPage: return "open";
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

bool IsPagePath(std::string_view path) {
  const RouteMatch match = FindRoute("GET", path);
  return match.route != nullptr && match.route->access == Access::kPage;
}

}  // namespace pelton::server
