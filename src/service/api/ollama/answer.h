// Answers in Ollama's shape: one object, or lines of JSON (NDJSON) of which the last is done.
// https://github.com/ollama/ollama/blob/main/docs/api.md
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "api/app.h"
#include "api/turn/answer_reader.h"
#include "serving/generation.h"

namespace pelton::api::ollama {

// What all objects of one answer have in common.
struct AnswerHead {
  bool chat = true;   // the text is message.content; otherwise it is response
  std::string model;  // as the client called it
  bool logprobs = false;
};

struct AnswerParts {
  std::shared_ptr<net::Exchange> exchange;
  AnswerHead head;
  std::string ignored_header;   // x-pelton-ignored; empty: none
  size_t write_buffer_max = 0;  // above it the reader is behind
  int64_t arrived_ns = 0;
  int64_t load_ns = 0;           // from arrival until the model was there
  std::shared_ptr<Notes> notes;  // filled before the answer ends
  bool stream_begun = false;     // BeginStream has been called
  turn::AnswerRules rules = {};  // how the answer is read
};

void BeginStream(net::Exchange& exchange, const std::string& ignored_header);
// An object with a part of the text (empty: a sign of life) that is not the last.
std::string PieceJson(const AnswerHead& head, std::string_view text, std::span<const backend::TokenOut> tokens);
// The whole answer to a request that generates nothing; `reason` is "load" or "unload".
std::string EmptyJson(const AnswerHead& head, std::string_view reason);
void EndStreamWithError(net::Exchange& exchange, const Status& error);

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts);
std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts);

}  // namespace pelton::api::ollama
