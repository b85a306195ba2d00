#include "api/openai/handlers.h"
#include "api/status_map.h"
#include "codec/json_write.h"

namespace pelton::api::openai {
namespace {

// What is not in memory has a state and no facts.
void WriteModel(const serving::ModelView& model, codec::JsonWriter* w) {
  w->Object().Key("id").Value(model.name).Key("object").Value("model");
  w->Key("created").Value(model.served ? model.served->created_s : 0);
  w->Key("owned_by").Value("pelton").Key("state").Value(serving::ModelStateName(model.state));
  if (model.served) {
    const backend::Facts& facts = model.served->backend->facts();
    w->Key("max_model_len").Value(facts.context);
    w->Key("meta").Object().Key("backend").Value(facts.kind);
    w->Key("architecture").Value(facts.architecture).Key("quantization").Value(facts.quantization);
    w->Key("parameters").Value(facts.parameters).Key("vocabulary").Value(facts.vocab_size);
    w->End();
  }
  w->End();
}

}  // namespace

void ListModels(const Call& call) {
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("object").Value("list").Key("data").Array();
  for (const auto& model : call.app.service.catalogue().Views()) WriteModel(model, &w);
  w.End().End();
  call.exchange->Respond(JsonResponse(std::move(body)));
}

void GetModel(const Call& call) {
  const auto model = call.app.service.catalogue().View(call.path_parameter);
  if (!model) {
    call.exchange->Respond(ErrorResponse(
        std::move(NotFound("The model does not exist; GET /v1/models lists what is served"))
            .WithParam("model")));
    return;
  }
  std::string body;
  codec::JsonWriter w(&body);
  WriteModel(*model, &w);
  call.exchange->Respond(JsonResponse(std::move(body)));
}

}  // namespace pelton::api::openai
