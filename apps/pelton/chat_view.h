// One answer on the terminal: submits to a backend, prints the text as it comes, stops on ^C.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/status.h"

namespace pelton::app {

struct AnswerOptions {
  float temperature = -1.f;  // below 0: the model's own default
  int max_tokens = 1024;
  uint64_t seed = 0;         // 0: a fresh one each time
};

struct Answer {
  std::string text;
  backend::Usage usage;
  bool interrupted = false;
};

// Prints the answer to standard output while it forms. The first ^C cancels it (Answer::interrupted);
// the program goes on.
Result<Answer> StreamAnswer(backend::Backend& model, const std::vector<backend::Message>& messages,
                            const AnswerOptions& options);

}  // namespace pelton::app
