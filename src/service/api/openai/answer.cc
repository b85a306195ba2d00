#include "api/openai/answer.h"

#include <utility>

#include "api/ending.h"
#include "api/status_map.h"
#include "api/timings.h"
#include "codec/sse.h"

namespace pelton::api::openai {
namespace {

using backend::Delta;

void Note(std::span<const Choice> choices, int n, Notes* notes) {
  const UsageSum sum = SumUsage(choices, n);
  notes->prompt_tokens = sum.prompt;
  notes->cached_tokens = sum.cached;
  notes->completion_tokens = sum.completion;
  NoteEnding(choices.front().finish, choices.front().usage, notes);
}

// As one more member of the JSON object that `body` is.
void AppendTimings(const serving::Timings& timings, std::string* body) {
  body->pop_back();
  *body += ",\"timings\":";
  codec::JsonWriter w(body);
  WriteTimings(timings, &w);
  body->push_back('}');
}

class StreamAnswer final : public serving::Output {
 public:
  explicit StreamAnswer(AnswerParts parts)
      : parts_(std::move(parts)),
        choices_(static_cast<size_t>(parts_.choices)),
        started_(parts_.stream_begun),
        last_write_ns_(parts_.arrived_ns) {}

  void OnDelta(int index, Delta&& delta) override {
    Choice& choice = choices_[static_cast<size_t>(index)];
    choice.usage = delta.usage;
    choice.finish = delta.finish;
    if (error_.ok()) error_ = ErrorOf(delta);
    if (!error_.ok()) return;  // said once, at the end
    std::vector<std::string> chunks;
    parts_.shape->AppendChunks(index, delta, &chunks);
    std::string events;
    for (const std::string& chunk : chunks) codec::AppendSseData(chunk, &events);
    if (!events.empty()) Write(std::move(events));
  }

  void OnFinished(const serving::RequestRecord& record) override {
    Note(choices_, parts_.n, parts_.notes.get());
    if (!error_.ok() && !started_) {
      parts_.exchange->Respond(ErrorResponse(error_));
      return;
    }
    std::string events;
    if (!error_.ok()) {
      // An explicit error and no [DONE]: a client never takes a broken answer for a whole one.
      codec::AppendSseData(ErrorBody(error_), &events);
    } else {
      if (parts_.include_usage || parts_.timings) {
        std::string chunk = parts_.shape->UsageChunk(choices_);
        if (parts_.timings) AppendTimings(record.timings, &chunk);
        codec::AppendSseData(chunk, &events);
      }
      codec::AppendSseData("[DONE]", &events);
    }
    Write(std::move(events));
    parts_.exchange->Finish();
  }

  void OnTick(int64_t now_ns) override {
    if (now_ns - last_write_ns_ < (started_ ? kCommentNs : kFirstCommentNs)) return;
    std::string comment;
    codec::AppendSseComment("working", &comment);
    Write(std::move(comment));
    last_write_ns_ = now_ns;
  }

  bool Congested() override { return parts_.exchange->buffered_bytes() > parts_.write_buffer_max; }

 private:
  void Write(std::string events) {
    if (!started_) Start();
    parts_.exchange->Write(std::move(events));
    last_write_ns_ = NowNs();
  }

  // Only when there is something to send: until then an error can still have its own status.
  void Start() {
    started_ = true;
    BeginStream(*parts_.exchange, parts_.ignored_header);
  }

  const AnswerParts parts_;
  std::vector<Choice> choices_;  // usage and reason only
  Status error_;
  bool started_;
  int64_t last_write_ns_;
};

class WholeAnswer final : public serving::Output {
 public:
  explicit WholeAnswer(AnswerParts parts)
      : parts_(std::move(parts)), choices_(static_cast<size_t>(parts_.choices)) {}

  void OnDelta(int index, Delta&& delta) override {
    Choice& choice = choices_[static_cast<size_t>(index)];
    choice.text += delta.text;
    for (backend::TokenOut& token : delta.tokens) choice.tokens.push_back(std::move(token));
    choice.usage = delta.usage;
    choice.finish = delta.finish;
    if (error_.ok()) error_ = ErrorOf(delta);
  }

  void OnFinished(const serving::RequestRecord& record) override {
    Note(choices_, parts_.n, parts_.notes.get());
    if (!error_.ok()) {
      parts_.exchange->Respond(ErrorResponse(error_));
      return;
    }
    std::string body = parts_.shape->Whole(choices_);
    if (parts_.timings) AppendTimings(record.timings, &body);
    net::Response response = JsonResponse(std::move(body));
    if (!parts_.ignored_header.empty()) {
      response.headers.Add("x-pelton-ignored", parts_.ignored_header);
    }
    parts_.exchange->Respond(std::move(response));
  }

  void OnTick(int64_t) override {}
  bool Congested() override { return false; }

 private:
  const AnswerParts parts_;
  std::vector<Choice> choices_;
  Status error_;
};

}  // namespace

void BeginStream(net::Exchange& exchange, const std::string& ignored_header) {
  exchange.StartStream(200, StreamHeaders("text/event-stream", ignored_header));
}

void EndStreamWithError(net::Exchange& exchange, const Status& error) {
  std::string events;
  codec::AppendSseData(ErrorBody(error), &events);
  exchange.Write(std::move(events));
  exchange.Finish();
}

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts) {
  return std::make_shared<StreamAnswer>(std::move(parts));
}

std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts) {
  return std::make_shared<WholeAnswer>(std::move(parts));
}

}  // namespace pelton::api::openai
