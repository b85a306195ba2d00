#include "server/routes.h"

#include "api/admin/handlers.h"
#include "api/anthropic/handlers.h"
#include "api/llamacpp/handlers.h"
#include "api/ollama/handlers.h"
#include "api/openai/handlers.h"
#include "server/playground.h"

namespace pelton::server {
namespace {

namespace admin = api::admin;
namespace anthropic = api::anthropic;
namespace llamacpp = api::llamacpp;
namespace ollama = api::ollama;
namespace openai = api::openai;
using enum Access;

constexpr std::string_view kNoEmbeddings = "Embeddings are not there yet: no model of this server can embed.";
constexpr std::string_view kOperatorsModels =
    "Not there: models are files of this server's operator, who gives them by --model NAME=FILE and changes them "
    "while it runs by POST /v1/admin/models/NAME/load, swap and unload.";

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", kUser, BodyKind::kChat, openai::ChatCompletions, true,
     "Answer a conversation."},
    {"POST", "/v1/completions", kUser, BodyKind::kCompletions, openai::Completions, true,
     "Continue texts or token ids."},
    {"POST", "/v1/messages", kUser, BodyKind::kMessages, anthropic::Messages, true,
     "Answer a conversation (Anthropic's Messages API)."},
    {"POST", "/v1/messages/count_tokens", kUser, BodyKind::kCountTokens, anthropic::CountTokens, true,
     "Count a conversation's tokens (Anthropic's API)."},
    {"POST", "/api/chat", kUser, BodyKind::kOllamaChat, ollama::Chat, true,
     "Answer a conversation (Ollama's API)."},
    {"POST", "/api/generate", kUser, BodyKind::kOllamaGenerate, ollama::Generate, true,
     "Answer a prompt, load or unload a model (Ollama's API)."},
    {"GET", "/api/tags", kUser, BodyKind::kNone, ollama::Tags, false, "The models (Ollama's API)."},
    {"GET", "/api/ps", kUser, BodyKind::kNone, ollama::Running, false, "The models in memory (Ollama's API)."},
    {"GET", "/api/version", kUser, BodyKind::kNone, ollama::Version, false,
     "The release of Ollama whose API this one follows, and Pelton's own."},
    {"POST", "/api/show", kUser, BodyKind::kOllamaShow, ollama::Show, false, "One model (Ollama's API)."},
    {"POST", "/api/pull", kUser, BodyKind::kOllamaPull, ollama::Pull, false,
     "Whether a model is there (Ollama's API); nothing is fetched."},
    {"POST", "/api/embed", kUser, BodyKind::kNone, nullptr, false, kNoEmbeddings},
    {"POST", "/api/embeddings", kUser, BodyKind::kNone, nullptr, false, kNoEmbeddings},
    {"POST", "/api/create", kUser, BodyKind::kNone, nullptr, false, kOperatorsModels},
    {"POST", "/api/copy", kUser, BodyKind::kNone, nullptr, false, kOperatorsModels},
    {"POST", "/api/push", kUser, BodyKind::kNone, nullptr, false, kOperatorsModels},
    {"DELETE", "/api/delete", kUser, BodyKind::kNone, nullptr, false, kOperatorsModels},
    {"POST", "/api/blobs/{digest}", kUser, BodyKind::kNone, nullptr, false, kOperatorsModels},
    {"GET", "/v1/models", kUser, BodyKind::kNone, openai::ListModels, false,
     "The models that are served."},
    {"GET", "/v1/models/{id}", kUser, BodyKind::kNone, openai::GetModel, false, "One model."},
    {"POST", "/tokenize", kUser, BodyKind::kTokenize, openai::Tokenize, true,
     "Text to token ids (vLLM's and llama.cpp's shapes)."},
    {"POST", "/detokenize", kUser, BodyKind::kDetokenize, openai::Detokenize, true,
     "Token ids to text."},
    {"POST", "/completion", kUser, BodyKind::kLlamaCpp, llamacpp::Completion, true,
     "Continue a text or token ids (llama.cpp's shape)."},
    {"POST", "/apply-template", kUser, BodyKind::kApplyTemplate, llamacpp::ApplyTemplate, true,
     "The text that a model gets for a conversation."},
    {"GET", "/props", kUser, BodyKind::kNone, llamacpp::Props, false,
     "The context and name of the only model (llama.cpp's shape)."},
    {"GET", "/slots", kUser, BodyKind::kNone, nullptr, false,
     "Not there: sequences have no slots of their own here; GET /v1/engine says what runs and waits."},
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
