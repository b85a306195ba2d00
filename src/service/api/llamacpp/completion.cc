// /completion and /apply-template.
#include "api/generate.h"
#include "api/llamacpp/answer.h"
#include "api/llamacpp/handlers.h"
#include "api/llamacpp/parse.h"
#include "api/openai/parse.h"
#include "api/status_map.h"
#include "codec/json_write.h"
#include "codec/sse.h"

namespace pelton::api::llamacpp {
namespace {

std::shared_ptr<serving::Output> Answer(const Call& call, const ParsedRequest& parsed, const serving::Served& model,
                                        bool stream_begun) {
  AnswerParts parts;
  parts.exchange = call.exchange;
  parts.model = model.name;
  parts.ignored_header = IgnoredHeader(parsed.form.ignored);
  parts.write_buffer_max = call.app.write_buffer_max;
  parts.arrived_ns = call.arrived_ns;
  parts.notes = call.notes;
  parts.stream_begun = stream_begun;
  return parsed.form.stream ? MakeStreamAnswer(std::move(parts)) : MakeWholeAnswer(std::move(parts));
}

net::Response Error(const Call&, const Status& status) { return ErrorResponse(status); }

void Progress(const Call& call, const ParsedRequest& parsed, bool first, const std::string& text) {
  if (first) BeginStream(*call.exchange, IgnoredHeader(parsed.form.ignored));
  std::string comment;
  codec::AppendSseComment(text, &comment);
  call.exchange->Write(std::move(comment));
}

void EndStream(const Call& call, const Status& error) { EndStreamWithError(*call.exchange, error); }

// The BOS in front is left out: /completion adds it again.
Result<std::string> RenderedText(const backend::Backend& model, const backend::ChatPrompt& prompt) {
  auto ids = model.ChatTokens(prompt);
  if (!ids.ok()) return ids.status();
  const auto bos = model.Tokenize("", {.add_special = true, .parse_special = false});
  const bool begins = bos.ok() && bos->size() == 1 && !ids->empty() && ids->front() == bos->front();
  return model.Detokenize(std::span(*ids).subspan(begins ? 1 : 0), /*special=*/true);
}

Result<net::Response> Rendered(const Call& call) {
  const auto parsed = openai::ParseTokenize(call.exchange->body(), call.app.options.strict_api);
  if (!parsed.ok()) return parsed.status();
  const auto* prompt = std::get_if<backend::ChatPrompt>(&parsed->prompt);
  if (prompt == nullptr) return BadField("messages", "is required");
  auto model = call.app.service.catalogue().Find(parsed->model);
  if (!model.ok()) return model.status();
  const auto text = RenderedText(*(*model)->backend, *prompt);
  if (!text.ok()) return text.status();
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("prompt").Value(*text).End();
  net::Response response = JsonResponse(std::move(body));
  if (const std::string names = IgnoredHeader(parsed->ignored); !names.empty()) {
    response.headers.Add("x-pelton-ignored", names);
  }
  return response;
}

Result<net::Response> PropsOf(const Call& call) {
  const auto model = call.app.service.catalogue().Find({});
  if (!model.ok()) return model.status();
  const backend::Facts& facts = (*model)->backend->facts();
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("default_generation_settings").Object().Key("n_ctx").Value(facts.context).End();
  w.Key("total_slots").Value(facts.sequences_max).Key("model_alias").Value((*model)->name);
  w.Key("modalities").Object().Key("vision").Value(false).Key("audio").Value(false).End();
  w.Key("build_info").Value("pelton-" + call.app.version).End();
  return JsonResponse(std::move(body));
}

}  // namespace

void Completion(const Call& call) {
  api::Generate(call, {.parse = ParseCompletion, .answer = Answer, .error = Error, .progress = Progress,
                       .end_stream = EndStream});
}

void ApplyTemplate(const Call& call) {
  const bool queued = call.app.service.prep().TryRun([call] {
    Result<net::Response> response = Rendered(call);
    call.exchange->Respond(response.ok() ? *std::move(response) : ErrorResponse(response.status()));
  });
  if (!queued) call.exchange->Respond(ErrorResponse(PrepFull()));
}

void Props(const Call& call) {
  Result<net::Response> response = PropsOf(call);
  call.exchange->Respond(response.ok() ? *std::move(response) : ErrorResponse(response.status()));
}

}  // namespace pelton::api::llamacpp
