// What every API's answers do when sequences end.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/app.h"
#include "backend/backend.h"

namespace pelton::api {

// What a sequence that did not end by itself is to its client; OK for the others.
Status ErrorOf(const backend::Delta& delta);

// For the access log: how the first sequence ended and waited.
void NoteEnding(const std::optional<backend::FinishReason>& finish, const backend::Usage& usage, Notes* notes);

// What came of a request's one sequence so far.
struct Outcome {
  backend::Usage usage;
  std::optional<backend::FinishReason> finish;
  std::string stop_match;  // the stop string that ended it, or empty
  Status error;            // OK unless ErrorOf says otherwise

  void Take(backend::Delta& delta);  // leaves its text and tokens
  void Note(Notes* notes) const;     // counts and ending, for the access log
};

// Of a streamed answer: never cached, never held back by a proxy.
net::Headers StreamHeaders(std::string_view content_type, const std::string& ignored_header);

}  // namespace pelton::api
