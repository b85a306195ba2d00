#include "api/anthropic/answer.h"

#include <optional>
#include <utility>

#include "api/anthropic/error.h"
#include "api/ending.h"
#include "codec/json_write.h"
#include "codec/sse.h"

namespace pelton::api::anthropic {
namespace {

using backend::Delta;
using backend::FinishReason;
using codec::JsonWriter;

// Pings go out when nothing else has for so long: the first early, so that people see that the request
// has been taken, the others as often as proxies' idle limits want.
constexpr int64_t kFirstPingNs = 2'500'000'000;
constexpr int64_t kPingNs = 10'000'000'000;

void WriteUsage(const backend::Usage& usage, JsonWriter* w) {
  w->Object().Key("input_tokens").Value(usage.prompt_tokens - usage.cached_tokens);
  w->Key("cache_creation_input_tokens").Value(0);
  w->Key("cache_read_input_tokens").Value(usage.cached_tokens);
  w->Key("output_tokens").Value(usage.completion_tokens).End();
}

// stop_reason and stop_sequence, null while there is none.
void WriteStop(const Outcome& outcome, JsonWriter* w) {
  w->Key("stop_reason");
  if (!outcome.finish) {
    w->Null();
  } else if (*outcome.finish == FinishReason::kLength) {
    w->Value("max_tokens");
  } else {
    w->Value(outcome.stop_match.empty() ? "end_turn" : "stop_sequence");
  }
  w->Key("stop_sequence");
  outcome.stop_match.empty() ? w->Null() : w->Value(outcome.stop_match);
}

// `text` null: a message that has only begun.
void WriteMessage(const AnswerParts& parts, const Outcome& outcome, const std::string* text, JsonWriter* w) {
  w->Object().Key("id").Value(parts.id).Key("type").Value("message").Key("role").Value("assistant");
  w->Key("model").Value(parts.model).Key("content").Array();
  if (text != nullptr) w->Object().Key("type").Value("text").Key("text").Value(*text).End();
  w->End();
  WriteStop(outcome, w);
  w->Key("usage");
  WriteUsage(outcome.usage, w);
  w->End();
}

class StreamAnswer final : public serving::Output {
 public:
  explicit StreamAnswer(AnswerParts parts)
      : parts_(std::move(parts)), started_(parts_.stream_begun), last_write_ns_(parts_.arrived_ns) {}

  void OnDelta(int, Delta&& delta) override {
    outcome_.Take(delta);
    if (!outcome_.error.ok()) return;  // said once, at the end
    std::string events;
    if (!opened_) AppendOpening(&events);
    if (!delta.text.empty()) {
      AppendEvent("content_block_delta", [&](JsonWriter& w) {
        w.Key("index").Value(0).Key("delta").Object().Key("type").Value("text_delta");
        w.Key("text").Value(delta.text).End();
      }, &events);
    }
    if (!events.empty()) Write(std::move(events));
  }

  void OnFinished(const serving::RequestRecord&) override {
    outcome_.Note(parts_.notes.get());
    if (!outcome_.error.ok()) {
      if (!started_) {
        parts_.exchange->Respond(ErrorResponse(outcome_.error, parts_.request_id));
      } else {
        EndStreamWithError(*parts_.exchange, outcome_.error, parts_.request_id);
      }
      return;
    }
    std::string events;
    AppendEvent("content_block_stop", [](JsonWriter& w) { w.Key("index").Value(0); }, &events);
    AppendEvent("message_delta", [&](JsonWriter& w) {
      w.Key("delta").Object();
      WriteStop(outcome_, &w);
      w.End().Key("usage");
      WriteUsage(outcome_.usage, &w);
    }, &events);
    AppendEvent("message_stop", [](JsonWriter&) {}, &events);
    Write(std::move(events));
    parts_.exchange->Finish();
  }

  void OnTick(int64_t now_ns) override {
    if (now_ns - last_write_ns_ < (started_ ? kPingNs : kFirstPingNs)) return;
    Start();
    WritePing(*parts_.exchange);
    last_write_ns_ = now_ns;
  }

  bool Congested() override { return parts_.exchange->buffered_bytes() > parts_.write_buffer_max; }

 private:
  // An event whose name is also its member "type"; `write` adds the others.
  template <typename Members>
  static void AppendEvent(std::string_view name, Members write, std::string* events) {
    std::string data;
    JsonWriter w(&data);
    w.Object().Key("type").Value(name);
    write(w);
    w.End();
    codec::AppendSseEvent(name, data, events);
  }

  void AppendOpening(std::string* events) {
    opened_ = true;
    Outcome begun;
    begun.usage = outcome_.usage;
    AppendEvent("message_start", [&](JsonWriter& w) {
      w.Key("message");
      WriteMessage(parts_, begun, nullptr, &w);
    }, events);
    AppendEvent("content_block_start", [](JsonWriter& w) {
      w.Key("index").Value(0).Key("content_block").Object();
      w.Key("type").Value("text").Key("text").Value("").End();
    }, events);
    AppendEvent("ping", [](JsonWriter&) {}, events);
  }

  // Only when there is something to send: until then an error can still have its own status.
  void Start() {
    if (!started_) BeginStream(*parts_.exchange, parts_.request_id, parts_.ignored_header);
    started_ = true;
  }

  void Write(std::string events) {
    Start();
    parts_.exchange->Write(std::move(events));
    last_write_ns_ = NowNs();
  }

  const AnswerParts parts_;
  Outcome outcome_;
  bool started_;
  bool opened_ = false;  // message_start is out
  int64_t last_write_ns_;
};

class WholeAnswer final : public serving::Output {
 public:
  explicit WholeAnswer(AnswerParts parts) : parts_(std::move(parts)) {}

  void OnDelta(int, Delta&& delta) override {
    text_ += delta.text;
    outcome_.Take(delta);
  }

  void OnFinished(const serving::RequestRecord&) override {
    outcome_.Note(parts_.notes.get());
    if (!outcome_.error.ok()) {
      parts_.exchange->Respond(ErrorResponse(outcome_.error, parts_.request_id));
      return;
    }
    std::string body;
    JsonWriter w(&body);
    WriteMessage(parts_, outcome_, &text_, &w);
    net::Response response = JsonResponse(std::move(body));
    response.headers.Add("request-id", parts_.request_id);
    if (!parts_.ignored_header.empty()) response.headers.Add("x-pelton-ignored", parts_.ignored_header);
    parts_.exchange->Respond(std::move(response));
  }

  void OnTick(int64_t) override {}
  bool Congested() override { return false; }

 private:
  const AnswerParts parts_;
  std::string text_;
  Outcome outcome_;
};

}  // namespace

void BeginStream(net::Exchange& exchange, const std::string& request_id, const std::string& ignored_header) {
  net::Headers headers = StreamHeaders("text/event-stream", ignored_header);
  headers.Add("request-id", request_id);
  exchange.StartStream(200, std::move(headers));
}

void WritePing(net::Exchange& exchange) {
  std::string event;
  codec::AppendSseEvent("ping", "{\"type\":\"ping\"}", &event);
  exchange.Write(std::move(event));
}

void EndStreamWithError(net::Exchange& exchange, const Status& error, const std::string& request_id) {
  std::string event;
  codec::AppendSseEvent("error", ErrorBody(error, request_id), &event);
  exchange.Write(std::move(event));
  exchange.Finish();
}

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts) {
  return std::make_shared<StreamAnswer>(std::move(parts));
}

std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts) {
  return std::make_shared<WholeAnswer>(std::move(parts));
}

}  // namespace pelton::api::anthropic
