// Answers under way: a stream of server-sent events, or one JSON document at the end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/app.h"
#include "api/openai/shape.h"
#include "net/http.h"
#include "serving/generation.h"

namespace pelton::api::openai {

struct AnswerParts {
  std::shared_ptr<net::Exchange> exchange;
  std::unique_ptr<Shape> shape;
  int choices = 1;
  bool include_usage = false;
  bool timings = false;         // the answer, or the stream's last chunk, says where the time went
  std::string ignored_header;   // x-pelton-ignored; empty: none
  size_t write_buffer_max = 0;  // above it the reader is behind
  int64_t arrived_ns = 0;
  std::shared_ptr<Notes> notes;  // filled before the answer ends
  int n = 1;                     // choices of one prompt
  bool stream_begun = false;     // BeginStream has been called (a comment went out already)
};

// The head of a streamed answer: from here on the status is 200, and errors are events.
void BeginStream(net::Exchange& exchange, const std::string& ignored_header);
// Ends a begun stream with an error event and without [DONE].
void EndStreamWithError(net::Exchange& exchange, const Status& error);

// Comments go out when nothing else has for so long: the first early, so that proxies and people
// see that the request has been taken, the others as often as proxies' idle limits want.
inline constexpr int64_t kFirstCommentNs = 2'500'000'000;
inline constexpr int64_t kCommentNs = 10'000'000'000;

std::shared_ptr<serving::Output> MakeStreamAnswer(AnswerParts parts);
std::shared_ptr<serving::Output> MakeWholeAnswer(AnswerParts parts);

}  // namespace pelton::api::openai
