// Any bytes as a reference file of `pelton perplexity`: an error, or documents whose every part may
// be read.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "models/evaluate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto reference = pelton::models::ReadKlReference(std::as_bytes(std::span(data, size)));
  if (!reference.ok()) return reference.status().message().empty() ? (std::abort(), 0) : 0;
  for (const auto& document : reference->documents) {
    for (const int32_t id : document.ids) {
      if (id < 0 || id >= reference->vocab) std::abort();
    }
    for (size_t i = 0; i + 1 < document.ids.size(); ++i) {
      const auto at = reference->At(document, i);
      for (int k = 0; k < reference->head + reference->tail; ++k) {
        if (at.ids[k] < 0 || at.ids[k] >= reference->vocab || at.logprobs[k] > 1e-2f) std::abort();
      }
    }
  }
  return 0;
}
