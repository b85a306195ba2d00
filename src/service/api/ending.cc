#include "api/ending.h"

#include <utility>

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

void Outcome::Take(backend::Delta& delta) {
  usage = delta.usage;
  finish = delta.finish;
  if (finish) stop_match = std::move(delta.stop_match);
  if (error.ok()) error = ErrorOf(delta);
}

void Outcome::Note(Notes* notes) const {
  notes->prompt_tokens = usage.prompt_tokens;
  notes->cached_tokens = usage.cached_tokens;
  notes->completion_tokens = usage.completion_tokens;
  NoteEnding(finish, usage, notes);
}

net::Headers StreamHeaders(std::string_view content_type, const std::string& ignored_header) {
  net::Headers headers;
  headers.Add("content-type", std::string(content_type));
  headers.Add("cache-control", "no-cache");
  headers.Add("x-accel-buffering", "no");
  if (!ignored_header.empty()) headers.Add("x-pelton-ignored", ignored_header);
  return headers;
}

}  // namespace pelton::api
