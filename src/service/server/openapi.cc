#include <cmath>

#include "api/anthropic/fields.h"
#include "api/llamacpp/fields.h"
#include "api/ollama/fields.h"
#include "api/openai/fields.h"
#include "api/status_map.h"
#include "codec/json_write.h"
#include "server/routes.h"
#include "serving/request.h"
#include "serving/request_log.h"

namespace pelton::server {
namespace {

using api::Effect;
using api::FieldKind;
using api::FieldRow;
using codec::JsonWriter;

std::string_view TypeOf(FieldKind kind) {
  switch (kind) {
    case FieldKind::kNumber: return "number";
    case FieldKind::kInteger: return "integer";
    case FieldKind::kBool: return "boolean";
    case FieldKind::kString: return "string";
    case FieldKind::kArray: return "array";
    case FieldKind::kObject: return "object";
    case FieldKind::kAny: return "";
  }
  return "";
}

struct Table {
  std::span<const FieldRow> rows;
  uint8_t endpoint = 0;
};

Table TableOf(BodyKind kind) {
  const auto openai = api::openai::FieldTable();
  const auto anthropic = api::anthropic::FieldTable();
  const auto ollama = api::ollama::FieldTable();
  switch (kind) {
    case BodyKind::kNone:
    case BodyKind::kModelAction: return {};
    case BodyKind::kChat: return {openai, api::openai::kChat};
    case BodyKind::kCompletions: return {openai, api::openai::kCompletions};
    case BodyKind::kTokenize:
    case BodyKind::kApplyTemplate: return {openai, api::openai::kTokenize};
    case BodyKind::kDetokenize: return {openai, api::openai::kDetokenize};
    case BodyKind::kMessages: return {anthropic, api::anthropic::kMessages};
    case BodyKind::kCountTokens: return {anthropic, api::anthropic::kCountTokens};
    case BodyKind::kLlamaCpp: return {api::llamacpp::FieldTable(), api::llamacpp::kCompletion};
    case BodyKind::kOllamaChat: return {ollama, api::ollama::kChat};
    case BodyKind::kOllamaGenerate: return {ollama, api::ollama::kGenerate};
    case BodyKind::kOllamaShow: return {ollama, api::ollama::kShow};
    case BodyKind::kOllamaPull: return {ollama, api::ollama::kPull};
  }
  return {};
}

std::span<const std::string_view> RequiredOf(BodyKind kind) {
  static constexpr std::string_view kMessages[] = {"messages"};
  static constexpr std::string_view kPrompt[] = {"prompt"};
  static constexpr std::string_view kTokens[] = {"tokens"};
  static constexpr std::string_view kAnthropic[] = {"model", "messages", "max_tokens"};
  switch (kind) {
    case BodyKind::kChat:
    case BodyKind::kApplyTemplate: return kMessages;
    case BodyKind::kCompletions:
    case BodyKind::kLlamaCpp: return kPrompt;
    case BodyKind::kDetokenize: return kTokens;
    case BodyKind::kMessages: return kAnthropic;
    case BodyKind::kCountTokens: return std::span(kAnthropic).first(2);
    case BodyKind::kOllamaChat:
    case BodyKind::kOllamaGenerate:
    case BodyKind::kOllamaShow:
    case BodyKind::kOllamaPull: return std::span(kAnthropic).first(1);
    default: return {};
  }
}

void WriteProperty(const FieldRow& row, JsonWriter* w) {
  w->Key(row.name).Object();
  if (const std::string_view type = TypeOf(row.kind); !type.empty()) {
    w->Key("type").Array().Value(type).Value("null").End();
  }
  if (std::isfinite(row.min)) w->Key("minimum").Value(row.min);
  if (std::isfinite(row.max)) w->Key("maximum").Value(row.max);
  if (!row.doc.empty()) w->Key("description").Value(row.doc);
  w->End();
}

void WriteActionProperties(JsonWriter* w) {
  const auto property = [w](std::string_view name, std::string_view type, std::string_view doc) {
    w->Key(name).Object().Key("type").Value(type).Key("description").Value(doc).End();
  };
  property("path", "string", "A model file in a folder of --model-dir; by default the model's own.");
  property("evict", "boolean", "Swap: when memory is short the old model goes first.");
  property("wait", "boolean", "Answer when it is done (the default), or at once with 202.");
}

void WriteBody(BodyKind kind, JsonWriter* w) {
  w->Key("requestBody").Object().Key("required").Value(kind != BodyKind::kModelAction).Key("content").Object();
  w->Key("application/json").Object().Key("schema").Object().Key("type").Value("object");
  w->Key("properties").Object();
  const Table table = TableOf(kind);
  for (const FieldRow& row : table.rows) {
    const bool shown = (row.endpoints & table.endpoint) != 0 && row.effect == Effect::kHonoured;
    if (shown) WriteProperty(row, w);
  }
  if (kind == BodyKind::kModelAction) WriteActionProperties(w);
  w->End();
  if (const auto required = RequiredOf(kind); !required.empty()) {
    w->Key("required").Array();
    for (const std::string_view name : required) w->Value(name);
    w->End();
  }
  w->End().End().End().End();
}

void WriteNumber(std::string_view name, std::string_view in, int64_t max, std::string_view doc,
                 JsonWriter* w) {
  w->Key("parameters").Array().Object().Key("name").Value(name).Key("in").Value(in);
  w->Key("description").Value(doc).Key("schema").Object().Key("type").Value("integer");
  w->Key("minimum").Value(1).Key("maximum").Value(max).End().End().End();
}

// What stands in path, query and headers; a route has one of them at most.
void WriteParameters(const Route& route, JsonWriter* w) {
  const size_t brace = route.pattern.find('{');
  if (brace != std::string_view::npos) {
    const size_t end = route.pattern.find('}');
    const std::string_view name = route.pattern.substr(brace + 1, end - brace - 1);
    w->Key("parameters").Array().Object().Key("name").Value(name).Key("in").Value("path");
    w->Key("required").Value(true).Key("schema").Object().Key("type").Value("string").End();
    w->End().End();
  } else if (route.body == BodyKind::kChat || route.body == BodyKind::kCompletions ||
             route.body == BodyKind::kMessages || route.body == BodyKind::kOllamaChat ||
             route.body == BodyKind::kOllamaGenerate || route.body == BodyKind::kLlamaCpp) {
    WriteNumber("x-request-timeout-ms", "header", int64_t{serving::kTimeoutMaxS} * 1000,
                "As the field timeout, in milliseconds; the shorter counts.", w);
  } else if (route.pattern == "/v1/requests") {
    WriteNumber("limit", "query", serving::RequestLog::kRecordsMax, "How many; 100 unless given.",
                w);
  }
}

std::string_view MethodKey(std::string_view method) {
  if (method == "POST") return "post";
  return method == "DELETE" ? "delete" : "get";
}

void WriteOperation(const Route& route, JsonWriter* w) {
  w->Key(MethodKey(route.method)).Object();
  w->Key("summary").Value(route.summary).Key("x-access").Value(AccessName(route.access));
  w->Key("security").Array();
  if (route.access != Access::kOpen) {
    w->Object().Key("bearer").Array().End().End();
    w->Object().Key("x-api-key").Array().End().End();
  }
  w->End();
  WriteParameters(route, w);
  if (route.body != BodyKind::kNone) WriteBody(route.body, w);
  w->Key("responses").Object();
  if (route.handler != nullptr) w->Key("200").Object().Key("description").Value("The answer.").End();
  w->Key("default").Object().Key("description").Value("An error in the API's shape.").End();
  w->End().End();
}

}  // namespace

std::string OpenApiText(std::string_view version) {
  std::string out;
  JsonWriter w(&out);
  w.Object().Key("openapi").Value("3.1.0").Key("info").Object().Key("title").Value("Pelton");
  w.Key("version").Value(version).End();
  w.Key("components").Object().Key("securitySchemes").Object();
  w.Key("bearer").Object().Key("type").Value("http").Key("scheme").Value("bearer").End();
  w.Key("x-api-key").Object().Key("type").Value("apiKey").Key("in").Value("header");
  w.Key("name").Value("x-api-key").End().End().End();
  w.Key("paths").Object();
  const auto routes = RouteTable();
  for (size_t i = 0; i < routes.size(); ++i) {  // no two rows share a pattern
    if (routes[i].access == Access::kPage) continue;
    w.Key(routes[i].pattern).Object();
    WriteOperation(routes[i], &w);
    w.End();
  }
  w.End().End();
  return out;
}

void OpenApi(const api::Call& call) {
  call.exchange->Respond(api::JsonResponse(OpenApiText(call.app.version)));
}

}  // namespace pelton::server
