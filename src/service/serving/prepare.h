// From a request to sequences that a backend can run: template, tokens, defaults, bounds. CPU work
// of milliseconds; runs on the prep pool.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "serving/request.h"

namespace pelton::serving {

// prompts.size() × n sequences: all choices of the first prompt, then of the second, and so on.
// Choice 0 of a seeded request uses the seed itself; the others seeds derived from it.
// OUT_OF_RANGE: a prompt as long as the context or longer (message has both numbers).
// INVALID_ARGUMENT: an empty prompt, ids outside the vocabulary (of prompts and of logit_bias).
// `param` says which field.
Result<std::vector<backend::SequenceRequest>> Prepare(const GenerateRequest& request,
                                                      const backend::Backend& backend);

}  // namespace pelton::serving
