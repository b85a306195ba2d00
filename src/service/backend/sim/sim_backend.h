// A simulated model: tokens paced at a given rate, no weights. For tests of the network, the
// gateway and the queues; its name (`sim:`) says what it is.
#pragma once

#include <memory>
#include <string_view>

#include "backend/backend.h"

namespace pelton::backend {

struct SimOptions {
  double rate = 50;        // tokens a second of one sequence
  double prefill = 20000;  // prompt tokens a second
  int length = 64;         // an answer ends by itself after so many tokens
  int context = 4096;
  int slots = 64;          // sequences generated at once
  int queue = 256;         // sequences waiting; one more is refused
  int load_ms = 0;         // opening it takes so long
  int stall_after = 0;     // > 0: the loop stands still after so many tokens (tests of liveness)
};

// "sim:" or "sim:?rate=50&length=20"; an unknown key or a value out of range is INVALID_ARGUMENT
// that names it.
Result<SimOptions> ParseSimUrl(std::string_view url);
bool IsSimUrl(std::string_view path);

std::unique_ptr<Backend> MakeSimBackend(const SimOptions& options);

}  // namespace pelton::backend
