// /api/chat and /api/generate.
#include "api/generate.h"

#include <fmt/core.h>

#include <utility>

#include "api/ollama/answer.h"
#include "api/ollama/error.h"
#include "api/ollama/handlers.h"
#include "api/ollama/names.h"
#include "api/ollama/parse.h"
#include "base/clock.h"

namespace pelton::api::ollama {
namespace {

using serving::ModelState;

template <bool kIsChat>
AnswerHead HeadOf(const ParsedRequest& parsed) {
  return {.chat = kIsChat, .model = parsed.form.model, .logprobs = parsed.form.logprobs};
}

template <bool kIsChat>
std::shared_ptr<serving::Output> Answer(const Call& call, const ParsedRequest& parsed, const serving::Served& model,
                                        bool stream_begun) {
  AnswerParts parts;
  parts.exchange = call.exchange;
  parts.head = HeadOf<kIsChat>(parsed);
  parts.ignored_header = IgnoredHeader(parsed.form.ignored);
  parts.write_buffer_max = call.app.write_buffer_max;
  parts.arrived_ns = call.arrived_ns;
  parts.load_ns = NowNs() - call.arrived_ns;
  parts.notes = call.notes;
  parts.stream_begun = stream_begun;
  parts.rules = turn::RulesOf(parsed.form.tools, model.backend->facts(), parsed.request);
  return parsed.form.stream ? MakeStreamAnswer(std::move(parts)) : MakeWholeAnswer(std::move(parts));
}

net::Response Error(const Call&, const Status& status) { return ErrorResponse(status); }

template <bool kIsChat>
void Progress(const Call& call, const ParsedRequest& parsed, bool first, const std::string&) {
  if (first) BeginStream(*call.exchange, IgnoredHeader(parsed.form.ignored));
  call.exchange->Write(PieceJson(HeadOf<kIsChat>(parsed), "", {}) + "\n");
}

void EndStream(const Call& call, const Status& error) { EndStreamWithError(*call.exchange, error); }

template <bool kIsChat>
void AnswerEmpty(const Call& call, const ParsedRequest& parsed, std::string_view reason) {
  net::Response response = JsonResponse(EmptyJson(HeadOf<kIsChat>(parsed), reason));
  if (const std::string names = IgnoredHeader(parsed.form.ignored); !names.empty()) {
    response.headers.Add("x-pelton-ignored", names);
  }
  call.exchange->Respond(std::move(response));
}

template <bool kIsChat>
void Loaded(const Call& call, const ParsedRequest& parsed) {
  AnswerEmpty<kIsChat>(call, parsed, "load");
}

// Answers when the catalogue has done what it was asked; want of memory is a conflict with what is
// loaded, not a rate.
template <bool kIsChat>
serving::Catalogue::Done AnswerWhenDone(const Call& call, const ParsedRequest& parsed, std::string_view reason) {
  return [call, parsed, reason](const Status& status) {
    if (status.ok()) {
      AnswerEmpty<kIsChat>(call, parsed, reason);
    } else if (status.code() == StatusCode::kResourceExhausted) {
      call.exchange->Respond(ErrorResponse({StatusCode::kAborted, status.message()}));
    } else {
      call.exchange->Respond(ErrorResponse(status));
    }
  };
}

template <bool kIsChat>
Status Unload(const Call& call, const ParsedRequest& parsed, const serving::ModelView& model) {
  if (call.caller.role != identity::Role::kOperator) {
    return PermissionDenied("'keep_alive': 0 takes a model out of everybody's memory and needs a key of role "
                            "operator; leave it out");
  }
  if (model.state == ModelState::kUnloaded || model.state == ModelState::kFailed) {
    AnswerEmpty<kIsChat>(call, parsed, "unload");
    return OkStatus();
  }
  return call.app.service.catalogue().Unload(model.name, AnswerWhenDone<kIsChat>(call, parsed, "unload"),
                                             /*until_wanted=*/true);
}

// Requests without a prompt: unloading, and loading what only operators can load. Other loads are a
// matter of waiting for the model, as every request does.
template <bool kIsChat>
bool Before(const Call& call, ParsedRequest* parsed) {
  serving::Catalogue& catalogue = call.app.service.catalogue();
  parsed->request.model = NameIn(catalogue, parsed->request.model);
  if (!parsed->request.prompts.empty()) return false;
  const auto model = catalogue.View(parsed->request.model);
  if (!model) return false;  // ends in NOT_FOUND
  Status status;
  if (parsed->form.unload) {
    status = Unload<kIsChat>(call, *parsed, *model);
  } else if (call.caller.role == identity::Role::kOperator &&
             (model->state == ModelState::kUnloaded || model->state == ModelState::kFailed)) {
    status = catalogue.Load(model->name, "", AnswerWhenDone<kIsChat>(call, *parsed, "load"));
  } else {
    return false;
  }
  if (!status.ok()) call.exchange->Respond(ErrorResponse(status));
  return true;
}

}  // namespace

void Chat(const Call& call) {
  api::Generate(call, {.parse = ParseChat, .answer = Answer<true>, .error = Error, .progress = Progress<true>,
                       .end_stream = EndStream, .before = Before<true>, .loaded = Loaded<true>});
}

void Generate(const Call& call) {
  api::Generate(call, {.parse = ParseGenerate, .answer = Answer<false>, .error = Error, .progress = Progress<false>,
                       .end_stream = EndStream, .before = Before<false>, .loaded = Loaded<false>});
}

}  // namespace pelton::api::ollama
