// From a request's body to a generation under way, for every API that generates text: who asks, by when,
// waiting for a model that is loading, a client that goes away. What differs between APIs is a Dialect.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/app.h"
#include "api/turn/tools.h"
#include "serving/generation.h"
#include "serving/request.h"

namespace pelton::api {

// What the answer's form needs and generation does not.
struct AnswerForm {
  bool stream = false;
  bool include_usage = false;
  bool logprobs = false;
  bool timings = false;
  std::vector<std::string> ignored;  // names for x-pelton-ignored
  std::string model;    // as the client called it, for APIs whose answers say that
  turn::ToolWish tools;
  bool unload = false;  // for APIs whose requests without a prompt ask that of a model
};

struct ParsedRequest {
  serving::GenerateRequest request;
  AnswerForm form;
  double timeout_s = 0;  // 0: none
};

// How an API reads requests and writes answers. Functions of any thread; `answer` gives what takes the
// deltas, on a stream that a sign of life has begun already or not.
struct Dialect {
  Result<ParsedRequest> (*parse)(std::string_view body, bool strict);
  std::shared_ptr<serving::Output> (*answer)(const Call& call, const ParsedRequest& parsed,
                                             const serving::Served& model, bool stream_begun);
  net::Response (*error)(const Call& call, const Status& status);
  // A sign of life while the model is loading; `first`: it begins the stream.
  void (*progress)(const Call& call, const ParsedRequest& parsed, bool first, const std::string& text);
  void (*end_stream)(const Call& call, const Status& error);  // of a stream that has begun
  // For APIs whose requests may want something else. `before`: on a prep thread, once the request is
  // read; may change what was read, or answer and say true. `loaded`: answers a request without a
  // prompt, which only wanted its model in memory.
  bool (*before)(const Call& call, ParsedRequest* parsed) = nullptr;
  void (*loaded)(const Call& call, const ParsedRequest& parsed) = nullptr;
};

// Returns at once; the work is done on the prep pool.
void Generate(const Call& call, const Dialect& dialect);

// What is answered when the prep pool takes no more.
Status PrepFull();

}  // namespace pelton::api
