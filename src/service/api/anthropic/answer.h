// Answers in Anthropic's shape: one message, or its events.
// https://docs.anthropic.com/en/api/messages-streaming
#pragma once

#include <memory>
#include <string>

#include "api/app.h"
#include "api/turn/answer_reader.h"
#include "serving/generation.h"

namespace pelton::api::anthropic {

struct AnswerParts {
  std::shared_ptr<net::Exchange> exchange;
  std::string id;     // "msg_…"
  std::string model;
  std::string request_id;
  std::string ignored_header;   // x-pelton-ignored; empty: none
  size_t write_buffer_max = 0;  // above it the reader is behind
  int64_t arrived_ns = 0;
  std::shared_ptr<Notes> notes;  // filled before the answer ends
  bool stream_begun = false;     // BeginStream has been called
  turn::AnswerRules rules = {};     // how the answer is read
  std::string answer_prefix = {};   // what the model was made to begin with
};

void BeginStream(net::Exchange& exchange, const std::string& request_id, const std::string& ignored_header);
// An event of type ping, which clients take as a sign of life.
void WritePing(net::Exchange& exchange);
void EndStreamWithError(net::Exchange& exchange, const Status& error, const std::string& request_id);

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts);
std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts);

}  // namespace pelton::api::anthropic
