// /v1/chat/completions and /v1/completions, from the body to a generation under way.
#include <utility>

#include "api/openai/answer.h"
#include "api/openai/handlers.h"
#include "api/openai/parse.h"
#include "api/status_map.h"
#include "base/random.h"

namespace pelton::api::openai {
namespace {

constexpr int64_t kPrepFullRetryMs = 1000;

// Hears of a vanished client from the first moment, also while the request is still being read.
class Abandon {
 public:
  void Set(const std::shared_ptr<serving::Generation>& generation) {
    bool gone = false;
    {
      const std::lock_guard lock(mutex_);
      generation_ = generation;
      gone = gone_;
    }
    if (gone) generation->Cancel();
  }
  void ClientGone() {
    std::shared_ptr<serving::Generation> generation;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      generation = generation_.lock();
    }
    if (generation) generation->Cancel();
  }
  void Drained() {
    std::shared_ptr<serving::Generation> generation;
    {
      const std::lock_guard lock(mutex_);
      generation = generation_.lock();
    }
    if (generation) generation->ReaderDrained();
  }
  bool gone() const {
    const std::lock_guard lock(mutex_);
    return gone_;
  }

 private:
  mutable std::mutex mutex_;
  std::weak_ptr<serving::Generation> generation_;  // guarded by mutex_
  bool gone_ = false;                              // guarded by mutex_
};

struct Flavour {
  Result<ParsedRequest> (*parse)(std::string_view body, bool strict);
  std::unique_ptr<Shape> (*shape)(AnswerHead head, int choices);
  const char* id_prefix;
};

AnswerParts PartsOf(const Call& call, const Flavour& flavour, const ParsedRequest& parsed,
                    const std::string& model) {
  AnswerHead head;
  head.id = RandomId(flavour.id_prefix);
  head.model = model;
  head.fingerprint = "pelton-" + call.app.version;
  head.created_s = SystemClock().WallS();
  head.n = parsed.request.n;
  head.logprobs = parsed.form.logprobs;
  head.include_usage = parsed.form.include_usage;
  AnswerParts parts;
  parts.exchange = call.exchange;
  parts.choices = static_cast<int>(parsed.request.prompts.size()) * parsed.request.n;
  parts.shape = flavour.shape(std::move(head), parts.choices);
  parts.include_usage = parsed.form.include_usage;
  parts.ignored_header = IgnoredHeader(parsed.form.ignored);
  parts.write_buffer_max = call.app.write_buffer_max;
  parts.arrived_ns = call.arrived_ns;
  parts.notes = call.notes;
  parts.n = parsed.request.n;
  return parts;
}

Status StartOnPrepThread(const Call& call, const Flavour& flavour, Abandon* abandon) {
  auto parsed = flavour.parse(call.exchange->body(), call.app.options.strict_api);
  if (!parsed.ok()) return parsed.status();
  auto model = call.app.service.catalogue().Find(parsed->request.model);
  if (!model.ok()) return model.status();
  serving::GenerateRequest& request = parsed->request;
  request.tenant = call.caller.tenant;
  request.arrived_ns = call.arrived_ns;
  if (const double limit_s = call.app.options.request_timeout_s; limit_s > 0) {
    request.deadline_ns = call.arrived_ns + static_cast<int64_t>(limit_s * 1e9);
  }
  call.notes->model = (*model)->name;
  AnswerParts parts = PartsOf(call, flavour, *parsed, (*model)->name);
  auto output = parsed->form.stream ? MakeStreamAnswer(std::move(parts))
                                    : MakeWholeAnswer(std::move(parts));
  auto generation = call.app.service.NewGeneration(std::move(output), call.arrived_ns);
  abandon->Set(generation);
  return call.app.service.Start(*model, request, generation);
}

void Generate(const Call& call, const Flavour& flavour) {
  auto abandon = std::make_shared<Abandon>();
  call.exchange->OnClosed([abandon] { abandon->ClientGone(); });
  call.exchange->OnDrained([abandon] { abandon->Drained(); });
  const bool queued = call.app.service.prep().TryRun([call, flavour, abandon] {
    if (abandon->gone()) return;
    const Status status = StartOnPrepThread(call, flavour, abandon.get());
    if (!status.ok()) call.exchange->Respond(ErrorResponse(status));
  });
  if (queued) return;
  call.exchange->Respond(ErrorResponse(
      Unavailable("too many requests are waiting to be read").WithRetryAfter(kPrepFullRetryMs)));
}

}  // namespace

void ChatCompletions(const Call& call) { Generate(call, {ParseChat, ChatShape, "chatcmpl-"}); }

void Completions(const Call& call) { Generate(call, {ParseCompletion, CompletionShape, "cmpl-"}); }

}  // namespace pelton::api::openai
