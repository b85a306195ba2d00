#include <cmath>

#include "api/openai/fields.h"
#include "api/status_map.h"
#include "codec/json_write.h"
#include "server/routes.h"
#include "serving/request.h"
#include "serving/request_log.h"

namespace pelton::server {
namespace {

using api::openai::Effect;
using api::openai::FieldKind;
using api::openai::FieldRow;
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

uint8_t EndpointOf(BodyKind kind) {
  switch (kind) {
    case BodyKind::kNone:
    case BodyKind::kModelAction: return 0;
    case BodyKind::kChat: return api::openai::kChat;
    case BodyKind::kCompletions: return api::openai::kCompletions;
    case BodyKind::kTokenize: return api::openai::kTokenize;
    case BodyKind::kDetokenize: return api::openai::kDetokenize;
  }
  return 0;
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
  for (const FieldRow& row : api::openai::FieldTable()) {
    const bool shown = (row.endpoints & EndpointOf(kind)) != 0 && row.effect == Effect::kHonoured;
    if (shown) WriteProperty(row, w);
  }
  if (kind == BodyKind::kModelAction) WriteActionProperties(w);
  w->End();
  if (kind == BodyKind::kChat) w->Key("required").Array().Value("messages").End();
  if (kind == BodyKind::kCompletions) w->Key("required").Array().Value("prompt").End();
  if (kind == BodyKind::kDetokenize) w->Key("required").Array().Value("tokens").End();
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
  } else if (route.body == BodyKind::kChat || route.body == BodyKind::kCompletions) {
    WriteNumber("x-request-timeout-ms", "header", int64_t{serving::kTimeoutMaxS} * 1000,
                "As the field timeout, in milliseconds; the shorter counts.", w);
  } else if (route.pattern == "/v1/requests") {
    WriteNumber("limit", "query", serving::RequestLog::kRecordsMax, "How many; 100 unless given.",
                w);
  }
}

void WriteOperation(const Route& route, JsonWriter* w) {
  w->Key(route.method == "POST" ? "post" : "get").Object();
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
  w->Key("200").Object().Key("description").Value("The answer.").End();
  w->Key("default").Object().Key("description").Value("An error in OpenAI's shape.").End();
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
