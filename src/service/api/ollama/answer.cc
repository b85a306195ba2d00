#include "api/ollama/answer.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "api/ending.h"
#include "api/ollama/error.h"
#include "api/ollama/moment.h"
#include "api/turn/tools.h"
#include "codec/json_write.h"
#include "codec/utf8.h"

namespace pelton::api::ollama {
namespace {

using backend::Delta;
using backend::FinishReason;
using backend::TokenOut;
using codec::JsonWriter;
using turn::AnswerPart;
using turn::AnswerReader;
using Kind = AnswerPart::Kind;

// An empty piece goes out when nothing else has for so long: proxies end connections that idle.
constexpr int64_t kSignOfLifeNs = 10'000'000'000;

void WriteToken(std::string_view bytes, float logprob, JsonWriter* w) {
  w->Key("token").Value(codec::SanitizeUtf8(bytes)).Key("logprob").Value(logprob);
  w->Key("bytes").Array();
  for (const char c : bytes) w->Value(static_cast<int>(static_cast<unsigned char>(c)));
  w->End();
}

void WriteLogprobs(std::span<const TokenOut> tokens, JsonWriter* w) {
  w->Key("logprobs").Array();
  for (const TokenOut& token : tokens) {
    w->Object();
    WriteToken(token.bytes, token.logprob, w);
    if (!token.top.empty()) w->Key("top_logprobs").Array();
    for (const backend::TokenLogprob& top : token.top) {
      w->Object();
      WriteToken(top.bytes, top.logprob, w);
      w->End();
    }
    if (!token.top.empty()) w->End();
    w->End();
  }
  w->End();
}

// A part of an answer as one object says it.
struct Piece {
  std::string text, thinking;
  std::vector<std::pair<std::string, std::string>> calls;  // names and arguments

  bool empty() const { return text.empty() && thinking.empty() && calls.empty(); }
};

// An object with its text, not yet ended.
void Open(const AnswerHead& head, const Piece& piece, JsonWriter* w) {
  w->Object().Key("model").Value(head.model).Key("created_at").Value(NowRfc3339());
  if (!head.chat) {
    w->Key("response").Value(piece.text);
    if (!piece.thinking.empty()) w->Key("thinking").Value(piece.thinking);
    return;
  }
  w->Key("message").Object().Key("role").Value("assistant").Key("content").Value(piece.text);
  if (!piece.thinking.empty()) w->Key("thinking").Value(piece.thinking);
  if (!piece.calls.empty()) w->Key("tool_calls").Array();
  for (const auto& [name, arguments] : piece.calls) {
    w->Object().Key("function").Object().Key("name").Value(name).Key("arguments");
    turn::WriteArguments(arguments, w);
    w->End().End();
  }
  if (!piece.calls.empty()) w->End();
  w->End();
}

// Parts of an answer → pieces: text and thoughts at once, calls when they are whole.
class Pieces {
 public:
  explicit Pieces(turn::AnswerRules rules) : reader_(std::move(rules)) {}

  Piece Push(std::string_view text, bool last) {
    std::vector<AnswerPart> parts;
    reader_.Push(text, &parts);
    if (last) reader_.Finish(&parts);
    Piece piece;
    for (const AnswerPart& part : parts) {
      if (part.kind == Kind::kArguments) {
        open_.back().second += part.text;
        continue;
      }
      EndCall(&piece);
      if (part.kind == Kind::kText) piece.text += part.text;
      if (part.kind == Kind::kReasoning) piece.thinking += part.text;
      if (part.kind == Kind::kCall) open_.emplace_back(part.text, "");
    }
    if (last) EndCall(&piece);
    return piece;
  }

 private:
  void EndCall(Piece* piece) {
    for (auto& call : open_) piece->calls.push_back(std::move(call));
    open_.clear();
  }

  AnswerReader reader_;
  std::vector<std::pair<std::string, std::string>> open_;  // the call that is being written, if any
};

std::string PieceLine(const AnswerHead& head, const Piece& piece, std::span<const TokenOut> tokens) {
  std::string out;
  JsonWriter w(&out);
  Open(head, piece, &w);
  if (head.logprobs && !tokens.empty()) WriteLogprobs(tokens, &w);
  w.Key("done").Value(false).End();
  return out;
}

// Counts and durations in ns, as members of the last object. A duration of tokens is never 0, since
// clients divide by it.
void WriteEnding(const AnswerParts& parts, const Outcome& outcome, JsonWriter* w) {
  const backend::Usage& usage = outcome.usage;
  const auto duration = [&](std::string_view name, int64_t ns) { w->Key(name).Value(std::max<int64_t>(1, ns)); };
  w->Key("done").Value(true).Key("done_reason");
  w->Value(outcome.finish == FinishReason::kLength ? "length" : "stop");
  duration("total_duration", NowNs() - parts.arrived_ns);
  duration("load_duration", parts.load_ns);
  w->Key("prompt_eval_count").Value(usage.prompt_tokens);
  duration("prompt_eval_duration", usage.first_token_ns - usage.queue_ns);
  w->Key("eval_count").Value(usage.completion_tokens);
  duration("eval_duration", usage.total_ns - usage.first_token_ns);
}

class StreamAnswer final : public serving::Output {
 public:
  explicit StreamAnswer(AnswerParts parts)
      : parts_(std::move(parts)), pieces_(parts_.rules), started_(parts_.stream_begun),
        last_write_ns_(parts_.arrived_ns) {}

  void OnDelta(int, Delta&& delta) override {
    outcome_.Take(delta);
    if (!outcome_.error.ok()) return;  // said once, at the end
    const Piece piece = pieces_.Push(delta.text, delta.finish.has_value());
    if (piece.empty() && delta.tokens.empty()) return;
    Write(PieceLine(parts_.head, piece, delta.tokens));
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
    std::string line;
    JsonWriter w(&line);
    Open(parts_.head, {}, &w);
    WriteEnding(parts_, outcome_, &w);
    w.End();
    Write(std::move(line));
    parts_.exchange->Finish();
  }

  void OnTick(int64_t now_ns) override {
    if (now_ns - last_write_ns_ < kSignOfLifeNs) return;
    Write(PieceJson(parts_.head, "", {}));
    last_write_ns_ = now_ns;
  }

  bool Congested() override { return parts_.exchange->buffered_bytes() > parts_.write_buffer_max; }

 private:
  void Write(std::string line) {
    // Only when there is something to send: until then an error can still have its own status.
    if (!started_) BeginStream(*parts_.exchange, parts_.ignored_header);
    started_ = true;
    line.push_back('\n');
    parts_.exchange->Write(std::move(line));
    last_write_ns_ = NowNs();
  }

  const AnswerParts parts_;
  Pieces pieces_;
  Outcome outcome_;
  bool started_;
  int64_t last_write_ns_;
};

class WholeAnswer final : public serving::Output {
 public:
  explicit WholeAnswer(AnswerParts parts) : parts_(std::move(parts)) {}

  void OnDelta(int, Delta&& delta) override {
    text_ += delta.text;
    std::move(delta.tokens.begin(), delta.tokens.end(), std::back_inserter(tokens_));
    outcome_.Take(delta);
  }

  void OnFinished(const serving::RequestRecord&) override {
    outcome_.Note(parts_.notes.get());
    if (!outcome_.error.ok()) {
      parts_.exchange->Respond(ErrorResponse(outcome_.error));
      return;
    }
    std::string body;
    JsonWriter w(&body);
    Open(parts_.head, Pieces(parts_.rules).Push(text_, /*last=*/true), &w);
    if (parts_.head.logprobs) WriteLogprobs(tokens_, &w);
    WriteEnding(parts_, outcome_, &w);
    w.End();
    net::Response response = JsonResponse(std::move(body));
    if (!parts_.ignored_header.empty()) response.headers.Add("x-pelton-ignored", parts_.ignored_header);
    parts_.exchange->Respond(std::move(response));
  }

  void OnTick(int64_t) override {}
  bool Congested() override { return false; }

 private:
  const AnswerParts parts_;
  std::string text_;
  std::vector<TokenOut> tokens_;
  Outcome outcome_;
};

}  // namespace

void BeginStream(net::Exchange& exchange, const std::string& ignored_header) {
  exchange.StartStream(200, StreamHeaders("application/x-ndjson", ignored_header));
}

std::string PieceJson(const AnswerHead& head, std::string_view text, std::span<const TokenOut> tokens) {
  Piece piece;
  piece.text = text;
  return PieceLine(head, piece, tokens);
}

std::string EmptyJson(const AnswerHead& head, std::string_view reason) {
  std::string out;
  JsonWriter w(&out);
  Open(head, {}, &w);
  w.Key("done").Value(true).Key("done_reason").Value(reason).End();
  return out;
}

void EndStreamWithError(net::Exchange& exchange, const Status& error) {
  exchange.Write(ErrorBody(error.message()) + "\n");
  exchange.Finish();
}

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts) {
  return std::make_shared<StreamAnswer>(std::move(parts));
}

std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts) {
  return std::make_shared<WholeAnswer>(std::move(parts));
}

}  // namespace pelton::api::ollama
