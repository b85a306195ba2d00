#include "api/openai/handlers.h"
#include "api/status_map.h"
#include "codec/json_write.h"

namespace pelton::api::openai {
namespace {

void WriteModel(const serving::Served& served, codec::JsonWriter* w) {
  const backend::Facts& facts = served.backend->facts();
  w->Object().Key("id").Value(served.name).Key("object").Value("model");
  w->Key("created").Value(served.created_s).Key("owned_by").Value("pelton");
  w->Key("max_model_len").Value(facts.context);
  w->Key("meta").Object().Key("backend").Value(facts.kind);
  w->Key("architecture").Value(facts.architecture).Key("quantization").Value(facts.quantization);
  w->Key("parameters").Value(facts.parameters).Key("vocabulary").Value(facts.vocab_size);
  w->End().End();
}

}  // namespace

void ListModels(const Call& call) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("object").Value("list").Key("data").Array();
  for (const auto& served : call.app.service.catalogue().Ready()) WriteModel(*served, &w);
  w.End().End();
  call.exchange->Respond(JsonResponse(std::move(body)));
}

void GetModel(const Call& call) {
  const auto served = call.app.service.catalogue().Find(call.path_parameter);
  if (!served.ok()) {
    call.exchange->Respond(ErrorResponse(served.status()));
    return;
  }
  std::string body;
  codec::JsonWriter w(&body);
  WriteModel(**served, &w);
  call.exchange->Respond(JsonResponse(std::move(body)));
}

}  // namespace pelton::api::openai
