// Answers of /completion in llama.cpp's shape: one object, or events of which the last says why.
#pragma once

#include <memory>
#include <string>

#include "api/app.h"
#include "serving/generation.h"

namespace pelton::api::llamacpp {

struct AnswerParts {
  std::shared_ptr<net::Exchange> exchange;
  std::string model;
  std::string ignored_header;   // x-pelton-ignored; empty: none
  size_t write_buffer_max = 0;  // above it the reader is behind
  int64_t arrived_ns = 0;
  std::shared_ptr<Notes> notes;  // filled before the answer ends
  bool stream_begun = false;     // BeginStream has been called
};

void BeginStream(net::Exchange& exchange, const std::string& ignored_header);
void EndStreamWithError(net::Exchange& exchange, const Status& error);

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts);
std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts);

}  // namespace pelton::api::llamacpp
