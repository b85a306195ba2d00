#include <fmt/core.h>

#include "api/openai/shape.h"
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

class Chat final : public Shape {
 public:
  Chat(AnswerHead head, int choices)
      : head_(std::move(head)), opened_(static_cast<size_t>(choices), false) {
    chunk_begin_ = Begin("chat.completion.chunk");
  }

  void AppendChunks(int index, const Delta& delta, std::vector<std::string>* chunks) override {
    if (!opened_[static_cast<size_t>(index)]) {
      opened_[static_cast<size_t>(index)] = true;
      chunks->push_back(Chunk(index, "{\"role\":\"assistant\",\"content\":\"\"}", {}, "null"));
    }
    if (!delta.text.empty() || !delta.tokens.empty()) {
      std::string content = "{\"content\":";
      AppendJsonString(delta.text, &content);
      content.push_back('}');
      chunks->push_back(Chunk(index, content, delta.tokens, "null"));
    }
    if (delta.finish) {
      chunks->push_back(Chunk(index, "{}", {}, fmt::format("\"{}\"", FinishWord(*delta.finish))));
    }
  }

  std::string UsageChunk(std::span<const Choice> choices) const override {
    return chunk_begin_ + "],\"usage\":" + UsageJson(choices, head_.n) + "}";
  }

  std::string Whole(std::span<const Choice> choices) const override {
    std::string out = Begin("chat.completion");
    for (size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      out += fmt::format("{}{{\"index\":{},\"message\":{{\"role\":\"assistant\",\"content\":",
                         i == 0 ? "" : ",", i);
      AppendJsonString(choice.text, &out);
      out += ",\"refusal\":null},\"logprobs\":";
      out += head_.logprobs ? LogprobsJson(choice.tokens) : "null";
      out += fmt::format(",\"finish_reason\":\"{}\"}}", FinishWord(*choice.finish));
    }
    return out + "],\"usage\":" + UsageJson(choices, head_.n) + "}";
  }

 private:
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
  std::vector<bool> opened_;  // choices whose role chunk is out
};

}  // namespace

std::unique_ptr<Shape> ChatShape(AnswerHead head, int choices) {
  return std::make_unique<Chat>(std::move(head), choices);
}

}  // namespace pelton::api::openai
