// What one event of a streamed completion says, in the shapes of /v1/completions and
// /v1/chat/completions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::load {

struct Delta {
  bool done = false;  // "[DONE]"
  bool text = false;  // carries at least one byte of the answer
  std::optional<int64_t> prompt_tokens;
  std::optional<int64_t> completion_tokens;
};

// `data`: an event's. INVALID_ARGUMENT for what is not JSON of that kind; UNAVAILABLE with the
// server's message for an error event.
Result<Delta> ReadDelta(std::string_view data);

// The message of an error body, {"error": {"message": …}}, or its first bytes.
std::string ErrorText(std::string_view body);

}  // namespace pelton::load
