#include "api/ending.h"

#include "serving/model_metrics.h"

namespace pelton::api {

using backend::FinishReason;

Status ErrorOf(const backend::Delta& delta) {
  if (delta.finish == FinishReason::kError) {
    return delta.error.ok() ? Internal("generation failed") : delta.error;
  }
  if (delta.finish == FinishReason::kCancelled) {
    return Unavailable("the generation was ended by the server").WithRetryAfter(1000);
  }
  return OkStatus();
}

void NoteEnding(const std::optional<FinishReason>& finish, const backend::Usage& usage, Notes* notes) {
  if (finish) notes->finish = serving::FinishReasonName(*finish);
  notes->queue_s = static_cast<double>(usage.queue_ns) * 1e-9;
  if (usage.completion_tokens > 0) notes->first_token_s = static_cast<double>(usage.first_token_ns) * 1e-9;
}

}  // namespace pelton::api
