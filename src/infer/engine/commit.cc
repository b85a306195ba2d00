// What a step's tokens mean: text, stops, ends. Finished sequences give their blocks back here,
// before anyone hears of it.
#include <algorithm>
#include <utility>

#include "engine/loop.h"

namespace pelton::engine {

void Loop::Commit() {
  for (Sequence* sequence : batch_.members()) {
    counts_.computed_tokens += static_cast<uint64_t>(sequence->rows + sequence->draft_rows);
    sequence->computed += sequence->rows;
    sequence->rows = 0;
  }
  for (Sequence* sequence : batch_.sampled()) CommitTokens(*sequence);
  for (Sequence* sequence : batch_.members()) KeepFullBlocks(*sequence);
  for (Sequence* sequence : batch_.members()) ChargeTenant(*sequence);
  RetireFinished();
}

// What is computed again after a preemption was charged before.
void Loop::ChargeTenant(Sequence& sequence) {
  if (sequence.computed <= sequence.served) return;
  const int prompt = std::clamp(sequence.prompt_tokens - sequence.served, 0,
                                sequence.computed - sequence.served);
  const int generated = sequence.computed - sequence.served - prompt;
  sequence.served = sequence.computed;
  fair_queue_.Charge(sequence.tenant, prompt + generated_cost_ * generated);
}

void Loop::CommitToken(Sequence& sequence, sampling::Sample& sample) {
  if (sample.token < 0) {
    Finish(sequence, FinishReason::kError,
           Internal("the model gave logits that are not finite, or no token may be drawn"));
    return;
  }
  const text::TokenId id = sample.token;
  TokenOut out{.id = id, .logprob = sample.logprob, .top = std::move(sample.top)};
  sequence.tokens.push_back(id);
  sequence.has_delta = true;
  ++counts_.generated_tokens;
  if (sequence.generated() == 1) {
    sequence.first_token_ns = parts_.clock.NowNs();
    counts_.prompt_tokens += static_cast<uint64_t>(sequence.prompt_tokens);
  }

  const auto ends = parts_.tokenizer.end_ids();
  if (std::find(ends.begin(), ends.end(), id) != ends.end()) {
    sequence.output.PushEnd(std::move(out), &sequence.delta);
    Finish(sequence, FinishReason::kStop, OkStatus());
  } else if (sequence.output.Push(std::move(out), &sequence.delta)) {
    sequence.finish = FinishReason::kStop;  // a stop string; everything is out already
  } else if (sequence.generated() >= sequence.max_tokens) {
    Finish(sequence, FinishReason::kLength, OkStatus());
  }
}

// Marks the end; the sequence leaves with the next RetireFinished.
void Loop::Finish(Sequence& sequence, FinishReason reason, Status error) {
  const bool stopped = sequence.output.Finish(&sequence.delta);
  const bool natural = reason == FinishReason::kLength;
  sequence.finish = stopped && natural ? FinishReason::kStop : reason;
  sequence.delta.error = std::move(error);
  sequence.has_delta = true;
}

void Loop::RetireFinished() {
  for (auto& sequence : ranked_) {
    if (!sequence->finish) continue;
    ReleaseBlocks(*sequence);
    EndLoad(*sequence);
    fair_queue_.Leave(sequence->tenant);
    by_id_.erase(sequence->request.id);
    parts_.inbox.Forget(sequence->request.id);
    ++(*sequence->finish == FinishReason::kCancelled ? counts_.requests_cancelled
                                                     : counts_.requests_finished);
    finished_.push_back(std::move(sequence));
  }
  std::erase(ranked_, nullptr);
}

}  // namespace pelton::engine
