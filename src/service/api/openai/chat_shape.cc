#include <fmt/core.h>

#include <utility>

#include "api/openai/shape.h"
#include "base/random.h"
#include "codec/json_write.h"
#include "codec/utf8.h"

namespace pelton::api::openai {
namespace {

using backend::Delta;
using backend::TokenOut;
using codec::AppendJsonString;
using codec::JsonWriter;

void WriteToken(std::string_view bytes, float logprob, JsonWriter* w) {
  w->Key("token").Value(codec::SanitizeUtf8(bytes)).Key("logprob").Value(logprob);
  w->Key("bytes").Array();
  for (const char c : bytes) w->Value(static_cast<int>(static_cast<unsigned char>(c)));
  w->End();
}

std::string LogprobsJson(std::span<const TokenOut> tokens) {
  std::string out;
  JsonWriter w(&out);
  w.Object().Key("content").Array();
  for (const TokenOut& token : tokens) {
    w.Object();
    WriteToken(token.bytes, token.logprob, &w);
    w.Key("top_logprobs").Array();
    for (const backend::TokenLogprob& top : token.top) {
      w.Object();
      WriteToken(top.bytes, top.logprob, &w);
      w.End();
    }
    w.End().End();
  }
  w.End().Key("refusal").Null().End();
  return out;
}

using turn::AnswerPart;
using turn::AnswerReader;

// One call of a tool, as streams begin it and whole answers hold it. Mistral's templates want ids of nine
// letters and digits back.
std::string ToolCallJson(const AnswerPart& call, backend::ToolSyntax syntax, std::string_view arguments, bool indexed) {
  std::string id = RandomId("call_");
  if (syntax == backend::ToolSyntax::kMistral) id = id.substr(id.size() - 9);
  std::string out;
  JsonWriter w(&out);
  w.Object();
  if (indexed) w.Key("index").Value(call.call);
  w.Key("id").Value(id).Key("type").Value("function").Key("function").Object();
  w.Key("name").Value(call.text).Key("arguments").Value(arguments).End().End();
  return out;
}

// "tool_calls" when the answer ends with calls, by itself or because no more are wanted.
std::string_view FinishWordOf(backend::FinishReason reason, const AnswerReader& reader) {
  const bool ended = reason == backend::FinishReason::kStop || reader.complete();
  return reader.calls() > 0 && ended ? "tool_calls" : FinishWord(reason);
}

class Chat final : public Shape {
 public:
  Chat(AnswerHead head, int choices)
      : head_(std::move(head)), opened_(static_cast<size_t>(choices), false) {
    chunk_begin_ = Begin("chat.completion.chunk");
    for (int i = 0; i < choices; ++i) readers_.emplace_back(head_.rules);
  }

  void AppendChunks(int index, const Delta& delta, std::vector<std::string>* chunks) override {
    AnswerReader& reader = readers_[static_cast<size_t>(index)];
    std::vector<AnswerPart> parts;
    if (!opened_[static_cast<size_t>(index)]) {
      opened_[static_cast<size_t>(index)] = true;
      chunks->push_back(Chunk(index, "{\"role\":\"assistant\",\"content\":\"\"}", {}, "null"));
      reader.Push(head_.answer_prefix, &parts);
    }
    reader.Push(delta.text, &parts);
    if (delta.finish) reader.Finish(&parts);
    if (parts.empty() && !delta.tokens.empty()) parts.emplace_back();  // tokens without text of their own
    bool first = true;
    for (const AnswerPart& part : parts) {
      const bool with_tokens = std::exchange(first, false);
      chunks->push_back(Chunk(index, DeltaOf(part), with_tokens ? delta.tokens : std::span<const TokenOut>(), "null"));
    }
    if (delta.finish) {
      chunks->push_back(
          Chunk(index, "{}", {}, fmt::format("\"{}\"", FinishWordOf(*delta.finish, reader))));
    }
  }

  std::string UsageChunk(std::span<const Choice> choices) const override {
    return chunk_begin_ + "],\"usage\":" + UsageJson(choices, head_.n) + "}";
  }

  std::string Whole(std::span<const Choice> choices) const override {
    std::string out = Begin("chat.completion");
    for (size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      AnswerReader reader(head_.rules);
      const std::vector<AnswerPart> parts = turn::ReadAnswer(&reader, head_.answer_prefix, choice.text);
      out += fmt::format("{}{{\"index\":{},\"message\":", i == 0 ? "" : ",", i);
      AppendMessage(parts, &out);
      out += ",\"logprobs\":";
      out += head_.logprobs ? LogprobsJson(choice.tokens) : "null";
      out += fmt::format(",\"finish_reason\":\"{}\"}}", FinishWordOf(*choice.finish, reader));
    }
    return out + "],\"usage\":" + UsageJson(choices, head_.n) + "}";
  }

 private:
  void AppendMessage(std::span<const AnswerPart> parts, std::string* out) const {
    std::string content, reasoning, calls;
    for (size_t i = 0; i < parts.size(); ++i) {
      const AnswerPart& part = parts[i];
      if (part.kind == AnswerPart::Kind::kText) content += part.text;
      if (part.kind == AnswerPart::Kind::kReasoning) reasoning += part.text;
      if (part.kind != AnswerPart::Kind::kCall) continue;
      const bool has = i + 1 < parts.size() && parts[i + 1].kind == AnswerPart::Kind::kArguments;
      calls += calls.empty() ? "" : ",";
      calls += ToolCallJson(part, head_.rules.syntax, has ? parts[i + 1].text : "", /*indexed=*/false);
    }
    *out += "{\"role\":\"assistant\",\"content\":";
    if (content.empty() && !calls.empty()) {
      *out += "null";
    } else {
      AppendJsonString(content, out);
    }
    *out += ",\"refusal\":null";
    if (!reasoning.empty()) {
      *out += ",\"reasoning_content\":";
      AppendJsonString(reasoning, out);
    }
    if (!calls.empty()) *out += ",\"tool_calls\":[" + calls + "]";
    out->push_back('}');
  }

  std::string DeltaOf(const AnswerPart& part) const {
    std::string out;
    JsonWriter w(&out);
    w.Object();
    switch (part.kind) {
      case AnswerPart::Kind::kText: w.Key("content").Value(part.text); break;
      case AnswerPart::Kind::kReasoning: w.Key("reasoning_content").Value(part.text); break;
      case AnswerPart::Kind::kCall:
        w.Key("tool_calls").Array().Raw(ToolCallJson(part, head_.rules.syntax, "", /*indexed=*/true)).End();
        break;
      case AnswerPart::Kind::kArguments:
        w.Key("tool_calls").Array().Object().Key("index").Value(part.call);
        w.Key("function").Object().Key("arguments").Value(part.text).End().End().End();
        break;
    }
    w.End();
    return out;
  }

  std::string Begin(std::string_view object) const {
    std::string out = "{\"id\":";
    AppendJsonString(head_.id, &out);
    out += fmt::format(",\"object\":\"{}\",\"created\":{},\"model\":", object, head_.created_s);
    AppendJsonString(head_.model, &out);
    out += ",\"system_fingerprint\":";
    AppendJsonString(head_.fingerprint, &out);
    return out + ",\"choices\":[";
  }

  std::string Chunk(int index, std::string_view delta, std::span<const TokenOut> tokens,
                    std::string_view finish) const {
    const bool with_logprobs = head_.logprobs && !tokens.empty();
    return fmt::format("{}{{\"index\":{},\"delta\":{},\"logprobs\":{},\"finish_reason\":{}}}]{}}}",
                       chunk_begin_, index, delta,
                       with_logprobs ? LogprobsJson(tokens) : std::string("null"), finish,
                       head_.include_usage ? ",\"usage\":null" : "");
  }

  const AnswerHead head_;
  std::string chunk_begin_;
  std::vector<AnswerReader> readers_;
  std::vector<bool> opened_;  // choices whose role chunk is out
};

}  // namespace

std::unique_ptr<Shape> ChatShape(AnswerHead head, int choices) {
  return std::make_unique<Chat>(std::move(head), choices);
}

}  // namespace pelton::api::openai
