// What every API's answers do when sequences end.
#pragma once

#include <optional>

#include "api/app.h"
#include "backend/backend.h"

namespace pelton::api {

// What a sequence that did not end by itself is to its client; OK for the others.
Status ErrorOf(const backend::Delta& delta);

// For the access log: how the first sequence ended and waited.
void NoteEnding(const std::optional<backend::FinishReason>& finish, const backend::Usage& usage, Notes* notes);

}  // namespace pelton::api
