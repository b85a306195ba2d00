// /v1/chat/completions and /v1/completions.
#include "api/generate.h"

#include <utility>

#include "api/openai/answer.h"
#include "api/openai/handlers.h"
#include "api/openai/parse.h"
#include "api/status_map.h"
#include "base/clock.h"
#include "base/random.h"
#include "codec/sse.h"

namespace pelton::api::openai {
namespace {

using ShapeFunction = std::unique_ptr<Shape> (*)(AnswerHead head, int choices);

template <ShapeFunction kShape>
std::shared_ptr<serving::Output> Answer(const Call& call, const ParsedRequest& parsed,
                                        const serving::Served& model, bool stream_begun) {
  AnswerHead head;
  head.id = RandomId(kShape == ChatShape ? "chatcmpl-" : "cmpl-");
  head.model = model.name;
  head.fingerprint = "pelton-" + call.app.version;
  head.created_s = SystemClock().WallS();
  head.n = parsed.request.n;
  head.rules = turn::RulesOf(parsed.form.tools, model.backend->facts(), parsed.request);
  head.answer_prefix = turn::AnswerPrefix(parsed.form.tools, model.backend->facts());
  head.logprobs = parsed.form.logprobs;
  head.include_usage = parsed.form.include_usage;
  AnswerParts parts;
  parts.exchange = call.exchange;
  parts.choices = static_cast<int>(parsed.request.prompts.size()) * parsed.request.n;
  parts.shape = kShape(std::move(head), parts.choices);
  parts.include_usage = parsed.form.include_usage;
  parts.timings = parsed.form.timings;
  parts.ignored_header = IgnoredHeader(parsed.form.ignored);
  parts.write_buffer_max = call.app.write_buffer_max;
  parts.arrived_ns = call.arrived_ns;
  parts.notes = call.notes;
  parts.n = parsed.request.n;
  parts.stream_begun = stream_begun;
  return parsed.form.stream ? MakeStreamAnswer(std::move(parts)) : MakeWholeAnswer(std::move(parts));
}

void Progress(const Call& call, const ParsedRequest& parsed, bool first, const std::string& text) {
  if (first) BeginStream(*call.exchange, IgnoredHeader(parsed.form.ignored));
  std::string comment;
  codec::AppendSseComment(text, &comment);
  call.exchange->Write(std::move(comment));
}

net::Response Error(const Call&, const Status& status) { return ErrorResponse(status); }

void EndStream(const Call& call, const Status& error) { EndStreamWithError(*call.exchange, error); }

}  // namespace

void ChatCompletions(const Call& call) {
  Generate(call, {ParseChat, Answer<ChatShape>, Error, Progress, EndStream});
}

void Completions(const Call& call) {
  Generate(call, {ParseCompletion, Answer<CompletionShape>, Error, Progress, EndStream});
}

}  // namespace pelton::api::openai
