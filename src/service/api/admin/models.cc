// Models as operators see them: states, memory, and load, unload, swap while running.
#include <fmt/core.h>

#include <utility>

#include "api/admin/handlers.h"
#include "api/status_map.h"
#include "codec/json.h"
#include "codec/json_write.h"

namespace pelton::api::admin {
namespace {

using serving::Catalogue;
using serving::ModelView;

struct ActionBody {
  std::string path;   // empty: the model's own file
  bool evict = false;
  bool wait = true;   // the answer comes when it is done
};

Status BadMember(const std::string& name, std::string_view what) {
  return std::move(InvalidArgument(fmt::format("\"{}\" {}", name, what))).WithParam(name);
}

Result<ActionBody> ReadBody(const std::string& text) {
  ActionBody out;
  if (text.empty()) return out;
  auto json = codec::ParseJson(text);
  if (!json.ok()) return json.status();
  const codec::Json::Object* members = json->AsObject();
  if (members == nullptr) return InvalidArgument("the body must be a JSON object");
  for (const auto& [name, value] : *members) {
    if (name == "path") {
      if (value.AsString() == nullptr) return BadMember(name, "must be a string");
      out.path = *value.AsString();
      if (out.path.empty()) return BadMember(name, "must not be empty");
    } else if (name == "evict" || name == "wait") {
      if (!value.AsBool()) return BadMember(name, "must be true or false");
      (name == "evict" ? out.evict : out.wait) = *value.AsBool();
    } else {
      return BadMember(name, "is not a field here; path, evict and wait are");
    }
  }
  return out;
}

void WriteModel(const ModelView& model, codec::JsonWriter* w) {
  w->Object().Key("name").Value(model.name).Key("path").Value(model.path);
  w->Key("state").Value(serving::ModelStateName(model.state));
  w->Key("on_demand").Value(model.on_demand).Key("swapping").Value(model.swapping);
  w->Key("load_progress").Value(model.progress).Key("instances").Value(model.in_memory);
  w->Key("requests_waiting").Value(model.waiting).Key("error");
  model.error.ok() ? w->Null() : w->Value(model.error.message());
  w->End();
}

void AnswerWithModel(const Call& call, const std::string& name, int http) {
  std::string body;
  codec::JsonWriter w(&body);
  if (const auto model = call.app.service.catalogue().View(name)) WriteModel(*model, &w);
  net::Response response = JsonResponse(std::move(body));
  response.status = http;
  call.exchange->Respond(std::move(response));
}

// For operators want of memory is a conflict with what is loaded, not a rate.
Status ForOperator(const Status& status) {
  if (status.code() != StatusCode::kResourceExhausted) return status;
  return {StatusCode::kAborted, status.message()};
}

using Action = Status (*)(Catalogue&, const std::string& name, const ActionBody&, Catalogue::Done);

Status StartAction(const Call& call, Action action, bool* wait) {
  auto body = ReadBody(call.exchange->body());
  if (!body.ok()) return body.status();
  Catalogue& catalogue = call.app.service.catalogue();
  if (!body->path.empty()) {
    auto file = serving::FileBelow(catalogue.options().model_dirs, body->path);
    if (!file.ok()) return file.status();
    body->path = *std::move(file);
  }
  *wait = body->wait;
  Catalogue::Done done;
  if (body->wait) {
    done = [call](const Status& status) {
      if (status.ok()) {
        AnswerWithModel(call, call.path_parameter, 200);
      } else {
        call.exchange->Respond(ErrorResponse(ForOperator(status)));
      }
    };
  }
  return action(catalogue, call.path_parameter, *body, std::move(done));
}

// Files are looked at, so not on an io thread.
void Run(const Call& call, Action action) {
  const bool queued = call.app.service.prep().TryRun([call, action] {
    bool wait = true;
    const Status status = StartAction(call, action, &wait);
    if (!status.ok()) {
      call.exchange->Respond(ErrorResponse(ForOperator(status)));
    } else if (!wait) {
      AnswerWithModel(call, call.path_parameter, 202);
    }
  });
  if (queued) return;
  call.exchange->Respond(ErrorResponse(
      Unavailable("too many requests are waiting to be read").WithRetryAfter(1000)));
}

}  // namespace

void ListModels(const Call& call) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("models").Array();
  for (const ModelView& model : call.app.service.catalogue().Views()) WriteModel(model, &w);
  w.End();
  WriteMachine(call.app, &w);
  w.End();
  call.exchange->Respond(JsonResponse(std::move(body)));
}

void LoadModel(const Call& call) {
  Run(call, [](Catalogue& catalogue, const std::string& name, const ActionBody& body,
               Catalogue::Done done) { return catalogue.Load(name, body.path, std::move(done)); });
}

void UnloadModel(const Call& call) {
  Run(call, [](Catalogue& catalogue, const std::string& name, const ActionBody&,
               Catalogue::Done done) { return catalogue.Unload(name, std::move(done)); });
}

void SwapModel(const Call& call) {
  Run(call, [](Catalogue& catalogue, const std::string& name, const ActionBody& body,
               Catalogue::Done done) {
    return catalogue.Swap(name, body.path, body.evict, std::move(done));
  });
}

}  // namespace pelton::api::admin
