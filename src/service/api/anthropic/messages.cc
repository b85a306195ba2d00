// /v1/messages and /v1/messages/count_tokens.
#include "api/anthropic/answer.h"
#include "api/anthropic/error.h"
#include "api/anthropic/handlers.h"
#include "api/anthropic/parse.h"
#include "base/random.h"
#include "codec/json_write.h"

namespace pelton::api::anthropic {
namespace {

std::shared_ptr<serving::Output> Answer(const Call& call, const ParsedRequest& parsed, const serving::Served& model,
                                        bool stream_begun) {
  AnswerParts parts;
  parts.exchange = call.exchange;
  parts.id = RandomId("msg_");
  parts.model = model.name;
  parts.request_id = call.request_id;
  parts.ignored_header = IgnoredHeader(parsed.form.ignored);
  parts.write_buffer_max = call.app.write_buffer_max;
  parts.arrived_ns = call.arrived_ns;
  parts.notes = call.notes;
  parts.stream_begun = stream_begun;
  parts.rules = turn::RulesOf(parsed.form.tools, model.backend->facts(), parsed.request);
  parts.answer_prefix = turn::AnswerPrefix(parsed.form.tools, model.backend->facts());
  return parsed.form.stream ? MakeStreamAnswer(std::move(parts)) : MakeWholeAnswer(std::move(parts));
}

net::Response Error(const Call& call, const Status& status) { return ErrorResponse(status, call.request_id); }

void Progress(const Call& call, const ParsedRequest& parsed, bool first, const std::string&) {
  if (first) BeginStream(*call.exchange, call.request_id, IgnoredHeader(parsed.form.ignored));
  WritePing(*call.exchange);
}

void EndStream(const Call& call, const Status& error) {
  EndStreamWithError(*call.exchange, error, call.request_id);
}

Result<net::Response> Count(const Call& call) {
  auto parsed = ParseCount(call.exchange->body(), call.app.options.strict_api);
  if (!parsed.ok()) return parsed.status();
  auto model = call.app.service.catalogue().Find(parsed->model);
  if (!model.ok()) return model.status();
  auto ids = (*model)->backend->ChatTokens(parsed->prompt);
  if (!ids.ok()) return ids.status();
  std::string body;
  codec::JsonWriter w(&body);
  w.Object().Key("input_tokens").Value(ids->size()).End();
  net::Response response = JsonResponse(std::move(body));
  response.headers.Add("request-id", call.request_id);
  if (const std::string names = IgnoredHeader(parsed->ignored); !names.empty()) {
    response.headers.Add("x-pelton-ignored", names);
  }
  return response;
}

}  // namespace

void Messages(const Call& call) { Generate(call, {ParseMessages, Answer, Error, Progress, EndStream}); }

void CountTokens(const Call& call) {
  const bool queued = call.app.service.prep().TryRun([call] {
    Result<net::Response> response = Count(call);
    call.exchange->Respond(response.ok() ? *std::move(response) : Error(call, response.status()));
  });
  if (!queued) call.exchange->Respond(Error(call, PrepFull()));
}

}  // namespace pelton::api::anthropic
