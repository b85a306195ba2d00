#include "api/llamacpp/answer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "api/ending.h"
#include "api/status_map.h"
#include "codec/json_write.h"
#include "codec/sse.h"

namespace pelton::api::llamacpp {
namespace {

using backend::Delta;
using backend::FinishReason;
using codec::JsonWriter;

constexpr int64_t kCommentNs = 10'000'000'000;  // proxies end connections that idle

// Tokens, ms and their quotients, under names that begin with `name`.
void WriteRate(const std::string& name, int tokens, int64_t ns, JsonWriter* w) {
  const double ms = static_cast<double>(std::max<int64_t>(1, ns)) * 1e-6;
  w->Key(name + "_n").Value(tokens).Key(name + "_ms").Value(ms);
  w->Key(name + "_per_token_ms").Value(tokens == 0 ? 0. : ms / tokens).Key(name + "_per_second").Value(tokens / ms * 1e3);
}

// The object that ends an answer.
std::string LastJson(const AnswerParts& parts, const Outcome& outcome, std::string_view text) {
  const backend::Usage& usage = outcome.usage;
  const bool limit = outcome.finish == FinishReason::kLength;
  std::string out;
  JsonWriter w(&out);
  w.Object().Key("index").Value(0).Key("content").Value(text).Key("tokens").Array().End();
  w.Key("stop").Value(true).Key("model").Value(parts.model);
  w.Key("tokens_predicted").Value(usage.completion_tokens).Key("tokens_evaluated").Value(usage.prompt_tokens);
  w.Key("tokens_cached").Value(usage.cached_tokens).Key("truncated").Value(false);
  w.Key("stop_type").Value(limit ? "limit" : outcome.stop_match.empty() ? "eos" : "word");
  w.Key("stopping_word").Value(outcome.stop_match).Key("timings").Object();
  WriteRate("prompt", usage.prompt_tokens - usage.cached_tokens, usage.first_token_ns - usage.queue_ns, &w);
  WriteRate("predicted", usage.completion_tokens, usage.total_ns - usage.first_token_ns, &w);
  w.End().End();
  return out;
}

class StreamAnswer final : public serving::Output {
 public:
  explicit StreamAnswer(AnswerParts parts)
      : parts_(std::move(parts)), started_(parts_.stream_begun), last_write_ns_(parts_.arrived_ns) {}

  void OnDelta(int, Delta&& delta) override {
    outcome_.Take(delta);
    if (!outcome_.error.ok() || delta.text.empty()) return;  // an error is said once, at the end
    std::string data, event;
    JsonWriter w(&data);
    w.Object().Key("index").Value(0).Key("content").Value(delta.text).Key("tokens").Array().End();
    w.Key("stop").Value(false).Key("tokens_predicted").Value(outcome_.usage.completion_tokens);
    w.Key("tokens_evaluated").Value(outcome_.usage.prompt_tokens).End();
    codec::AppendSseData(data, &event);
    Write(std::move(event));
  }

  void OnFinished(const serving::RequestRecord&) override {
    outcome_.Note(parts_.notes.get());
    if (!outcome_.error.ok()) {
      if (started_) {
        EndStreamWithError(*parts_.exchange, outcome_.error);
      } else {
        parts_.exchange->Respond(ErrorResponse(outcome_.error));
      }
      return;
    }
    std::string event;
    codec::AppendSseData(LastJson(parts_, outcome_, ""), &event);
    Write(std::move(event));
    parts_.exchange->Finish();
  }

  void OnTick(int64_t now_ns) override {
    if (now_ns - last_write_ns_ < kCommentNs) return;
    std::string comment;
    codec::AppendSseComment("working", &comment);
    Write(std::move(comment));
    last_write_ns_ = now_ns;
  }

  bool Congested() override { return parts_.exchange->buffered_bytes() > parts_.write_buffer_max; }

 private:
  void Write(std::string events) {
    // Only when there is something to send: until then an error can still have its own status.
    if (!started_) BeginStream(*parts_.exchange, parts_.ignored_header);
    started_ = true;
    parts_.exchange->Write(std::move(events));
    last_write_ns_ = NowNs();
  }

  const AnswerParts parts_;
  Outcome outcome_;
  bool started_;
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
      parts_.exchange->Respond(ErrorResponse(outcome_.error));
      return;
    }
    net::Response response = JsonResponse(LastJson(parts_, outcome_, text_));
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

void BeginStream(net::Exchange& exchange, const std::string& ignored_header) {
  exchange.StartStream(200, StreamHeaders("text/event-stream", ignored_header));
}

void EndStreamWithError(net::Exchange& exchange, const Status& error) {
  std::string event;
  codec::AppendSseData(ErrorBody(error), &event);
  exchange.Write(std::move(event));
  exchange.Finish();
}

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts) {
  return std::make_shared<StreamAnswer>(std::move(parts));
}

std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts) {
  return std::make_shared<WholeAnswer>(std::move(parts));
}

}  // namespace pelton::api::llamacpp
