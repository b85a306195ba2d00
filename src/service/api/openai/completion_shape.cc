#include <fmt/core.h>

#include "api/openai/shape.h"
#include "codec/json_write.h"

namespace pelton::api::openai {
namespace {

using backend::Delta;
using backend::TokenOut;
using codec::AppendJsonString;
using codec::JsonWriter;

int64_t CodePoints(std::string_view bytes) {
  int64_t count = 0;
  for (const char c : bytes) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

// `offset`: characters of the answer before these tokens; moved past them.
std::string LogprobsJson(std::span<const TokenOut> tokens, int64_t* offset) {
  std::string names, values, tops, offsets;
  JsonWriter n(&names), v(&values), t(&tops), o(&offsets);
  n.Array(), v.Array(), t.Array(), o.Array();
  for (const TokenOut& token : tokens) {
    const std::string text = TokenText(token.bytes);
    n.Value(text);
    v.Value(token.logprob);
    o.Value(*offset);
    *offset += CodePoints(token.bytes);
    // The chosen token is always among them, as with OpenAI.
    t.Object();
    bool has_chosen = false;
    std::vector<std::string> seen;
    for (const backend::TokenLogprob& top : token.top) {
      std::string key = TokenText(top.bytes);
      bool twice = false;  // two ids of one text: the better stays
      for (const std::string& other : seen) twice = twice || other == key;
      if (twice) continue;
      has_chosen = has_chosen || key == text;
      t.Key(key).Value(top.logprob);
      seen.push_back(std::move(key));
    }
    if (!has_chosen) t.Key(text).Value(token.logprob);
    t.End();
  }
  n.End(), v.End(), t.End(), o.End();
  return fmt::format(
      "{{\"tokens\":{},\"token_logprobs\":{},\"top_logprobs\":{},\"text_offset\":{}}}", names,
      values, tops, offsets);
}

class Completion final : public Shape {
 public:
  Completion(AnswerHead head, int choices)
      : head_(std::move(head)), offsets_(static_cast<size_t>(choices), 0), begin_(Begin()) {}

  void AppendChunks(int index, const Delta& delta, std::vector<std::string>* chunks) override {
    if (delta.text.empty() && delta.tokens.empty() && !delta.finish) return;
    std::string chunk = begin_;
    AppendChoice(index, delta.text, delta.tokens, &offsets_[static_cast<size_t>(index)],
                 delta.finish, &chunk);
    chunk += head_.include_usage ? "],\"usage\":null}" : "]}";
    chunks->push_back(std::move(chunk));
  }

  std::string UsageChunk(std::span<const Choice> choices) const override {
    return begin_ + "],\"usage\":" + UsageJson(choices, head_.n) + "}";
  }

  std::string Whole(std::span<const Choice> choices) const override {
    std::string out = begin_;
    for (size_t i = 0; i < choices.size(); ++i) {
      if (i > 0) out.push_back(',');
      int64_t offset = 0;
      AppendChoice(static_cast<int>(i), choices[i].text, choices[i].tokens, &offset,
                   choices[i].finish, &out);
    }
    return out + "],\"usage\":" + UsageJson(choices, head_.n) + "}";
  }

 private:
  std::string Begin() const {
    std::string out = "{\"id\":";
    AppendJsonString(head_.id, &out);
    out += fmt::format(",\"object\":\"text_completion\",\"created\":{},\"model\":",
                       head_.created_s);
    AppendJsonString(head_.model, &out);
    out += ",\"system_fingerprint\":";
    AppendJsonString(head_.fingerprint, &out);
    return out + ",\"choices\":[";
  }

  void AppendChoice(int index, std::string_view text, std::span<const TokenOut> tokens,
                    int64_t* offset, std::optional<backend::FinishReason> finish,
                    std::string* out) const {
    *out += fmt::format("{{\"index\":{},\"text\":", index);
    AppendJsonString(text, out);
    *out += ",\"logprobs\":";
    *out += head_.logprobs ? LogprobsJson(tokens, offset) : "null";
    *out += ",\"finish_reason\":";
    *out += finish ? fmt::format("\"{}\"}}", FinishWord(*finish)) : "null}";
  }

  const AnswerHead head_;
  std::vector<int64_t> offsets_;  // characters out, by choice
  const std::string begin_;
};

}  // namespace

std::unique_ptr<Shape> CompletionShape(AnswerHead head, int choices) {
  return std::make_unique<Completion>(std::move(head), choices);
}

}  // namespace pelton::api::openai
