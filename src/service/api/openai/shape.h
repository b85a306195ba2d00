// How answers look: OpenAI's JSON for chat and for completions, whole and in chunks. Pure
// formatting; used on the pump's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/turn/answer_reader.h"
#include "backend/backend.h"
#include "base/status.h"

namespace pelton::api::openai {

struct AnswerHead {
  std::string id;     // "chatcmpl-…"
  std::string model;
  std::string fingerprint;
  int64_t created_s = 0;
  int n = 1;
  bool logprobs = false;
  bool include_usage = false;
  turn::AnswerRules rules = {};    // chat: how the answer is read
  std::string answer_prefix = {};  // chat: what the model was made to begin with
};

// What came of one sequence.
struct Choice {
  std::string text;
  std::vector<backend::TokenOut> tokens;
  std::optional<backend::FinishReason> finish;
  backend::Usage usage;
  Status error;
};

class Shape {  // owned by one answer
 public:
  virtual ~Shape() = default;
  // Appends one or two whole chunks (JSON, without SSE framing) to `chunks`.
  virtual void AppendChunks(int index, const backend::Delta& delta,
                            std::vector<std::string>* chunks) = 0;
  virtual std::string UsageChunk(std::span<const Choice> choices) const = 0;
  virtual std::string Whole(std::span<const Choice> choices) const = 0;
};

std::unique_ptr<Shape> ChatShape(AnswerHead head, int choices);
std::unique_ptr<Shape> CompletionShape(AnswerHead head, int choices);

// Of all choices: a prompt counts once, however many choices (`n`) it has.
struct UsageSum {
  int64_t prompt = 0, cached = 0, completion = 0;
};
UsageSum SumUsage(std::span<const Choice> choices, int n);
// {"prompt_tokens":…}
std::string UsageJson(std::span<const Choice> choices, int n);
// "stop" or "length".
std::string_view FinishWord(backend::FinishReason reason);
// The text of a token for the completions shape, whose keys must be text: bytes that are no UTF-8
// by themselves become "bytes:\xe2\x82".
std::string TokenText(std::string_view bytes);

}  // namespace pelton::api::openai
