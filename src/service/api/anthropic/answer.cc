#include "api/anthropic/answer.h"

#include <optional>
#include <utility>
#include <vector>

#include "api/anthropic/error.h"
#include "api/ending.h"
#include "api/turn/tools.h"
#include "base/random.h"
#include "codec/json_write.h"
#include "codec/sse.h"

namespace pelton::api::anthropic {
namespace {

using backend::Delta;
using backend::FinishReason;
using codec::JsonWriter;
using turn::AnswerPart;
using turn::AnswerReader;
using Kind = AnswerPart::Kind;

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

// stop_reason and stop_sequence, null while there is none. `calls`: the answer ends with calls of tools.
void WriteStop(const Outcome& outcome, const AnswerReader& reader, JsonWriter* w) {
  const bool by_itself = outcome.finish == FinishReason::kStop && outcome.stop_match.empty();
  w->Key("stop_reason");
  if (!outcome.finish) {
    w->Null();
  } else if (reader.calls() > 0 && (by_itself || reader.complete())) {
    w->Value("tool_use");
  } else if (*outcome.finish == FinishReason::kLength) {
    w->Value("max_tokens");
  } else {
    w->Value(outcome.stop_match.empty() ? "end_turn" : "stop_sequence");
  }
  w->Key("stop_sequence");
  outcome.stop_match.empty() ? w->Null() : w->Value(outcome.stop_match);
}

// The block that `part` begins, empty but for a tool's name.
void WriteBlockStart(const AnswerPart& part, JsonWriter* w) {
  w->Object().Key("type");
  switch (part.kind) {
    case Kind::kText: w->Value("text").Key("text").Value(""); break;
    case Kind::kReasoning: w->Value("thinking").Key("thinking").Value("").Key("signature").Value(""); break;
    case Kind::kCall:
    case Kind::kArguments:
      w->Value("tool_use").Key("id").Value(RandomId("toolu_")).Key("name").Value(part.text);
      w->Key("input").Object().End();
      break;
  }
  w->End();
}

void WriteBlockDelta(const AnswerPart& part, JsonWriter* w) {
  w->Object().Key("type");
  switch (part.kind) {
    case Kind::kText: w->Value("text_delta").Key("text").Value(part.text); break;
    case Kind::kReasoning: w->Value("thinking_delta").Key("thinking").Value(part.text); break;
    case Kind::kCall:
    case Kind::kArguments: w->Value("input_json_delta").Key("partial_json").Value(part.text); break;
  }
  w->End();
}

// All blocks of an answer.
void WriteBlocks(const std::vector<AnswerPart>& parts, JsonWriter* w) {
  w->Array();
  if (parts.empty()) w->Object().Key("type").Value("text").Key("text").Value("").End();
  for (size_t i = 0; i < parts.size(); ++i) {
    const AnswerPart& part = parts[i];
    if (part.kind == Kind::kArguments) continue;
    w->Object().Key("type");
    if (part.kind == Kind::kText) {
      w->Value("text").Key("text").Value(part.text);
    } else if (part.kind == Kind::kReasoning) {
      w->Value("thinking").Key("thinking").Value(part.text).Key("signature").Value("");
    } else {
      const bool has = i + 1 < parts.size() && parts[i + 1].kind == Kind::kArguments;
      w->Value("tool_use").Key("id").Value(RandomId("toolu_")).Key("name").Value(part.text).Key("input");
      turn::WriteArguments(has ? parts[i + 1].text : std::string_view(), w);
    }
    w->End();
  }
  w->End();
}

// `content` null: a message that has only begun.
void WriteMessage(const AnswerParts& parts, const Outcome& outcome, const std::vector<AnswerPart>* content,
                  const AnswerReader& reader, JsonWriter* w) {
  w->Object().Key("id").Value(parts.id).Key("type").Value("message").Key("role").Value("assistant");
  w->Key("model").Value(parts.model).Key("content");
  if (content == nullptr) {
    w->Array().End();
  } else {
    WriteBlocks(*content, w);
  }
  WriteStop(outcome, reader, w);
  w->Key("usage");
  WriteUsage(outcome.usage, w);
  w->End();
}

class StreamAnswer final : public serving::Output {
 public:
  explicit StreamAnswer(AnswerParts parts)
      : parts_(std::move(parts)), reader_(parts_.rules), started_(parts_.stream_begun),
        last_write_ns_(parts_.arrived_ns) {}

  void OnDelta(int, Delta&& delta) override {
    outcome_.Take(delta);
    if (!outcome_.error.ok()) return;  // said once, at the end
    std::string events;
    std::vector<AnswerPart> read;
    if (!opened_) reader_.Push(parts_.answer_prefix, &read);
    reader_.Push(delta.text, &read);
    if (delta.finish) reader_.Finish(&read);
    if (!opened_) AppendOpening(read, &events);
    for (const AnswerPart& part : read) AppendPart(part, &events);
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
    if (block_ < 0) Begin({}, &events);  // an answer without anything has an empty text
    EndBlock(&events);
    AppendEvent("message_delta", [&](JsonWriter& w) {
      w.Key("delta").Object();
      WriteStop(outcome_, reader_, &w);
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

  void AppendOpening(const std::vector<AnswerPart>& read, std::string* events) {
    opened_ = true;
    Outcome begun;
    begun.usage = outcome_.usage;
    AppendEvent("message_start", [&](JsonWriter& w) {
      w.Key("message");
      WriteMessage(parts_, begun, nullptr, reader_, &w);
    }, events);
    if (!read.empty()) Begin(read.front(), events);
    AppendEvent("ping", [](JsonWriter&) {}, events);
  }

  void AppendPart(const AnswerPart& part, std::string* events) {
    const bool continues = block_ >= 0 && (part.kind == kind_ || part.kind == Kind::kArguments);
    const bool next_call = part.kind == Kind::kCall && part.call != call_;
    if (!continues || next_call) Begin(part, events);
    if (part.kind == Kind::kCall) return;  // its name stands in the block's start
    AppendEvent("content_block_delta", [&](JsonWriter& w) {
      w.Key("index").Value(block_).Key("delta");
      WriteBlockDelta(part, &w);
    }, events);
  }

  void Begin(const AnswerPart& part, std::string* events) {
    if (block_ >= 0) EndBlock(events);
    ++block_;
    kind_ = part.kind;
    call_ = part.call;
    AppendEvent("content_block_start", [&](JsonWriter& w) {
      w.Key("index").Value(block_).Key("content_block");
      WriteBlockStart(part, &w);
    }, events);
  }

  void EndBlock(std::string* events) {
    AppendEvent("content_block_stop", [&](JsonWriter& w) { w.Key("index").Value(block_); }, events);
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
  AnswerReader reader_;
  Outcome outcome_;
  int block_ = -1;           // the block that is open; -1: none yet
  Kind kind_ = Kind::kText;  // of that block
  int call_ = -1;            // its call
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
    AnswerReader reader(parts_.rules);
    const std::vector<AnswerPart> read = turn::ReadAnswer(&reader, parts_.answer_prefix, text_);
    WriteMessage(parts_, outcome_, &read, reader, &w);
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
