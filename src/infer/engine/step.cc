// The two stages that compute: the model's step, and sampling, which the worker team shares.
#include "engine/loop.h"

namespace pelton::engine {

void Loop::Step() {
  parts_.model.Forward(batch_.View(), storage_, parts_.team, batch_.Logits());
}

// Each sequence has its own sampler and its own row of logits, so they may be drawn side by side.
void Loop::Sample() {
  const auto sampled = batch_.sampled();
  const auto draw = [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      Sequence& sequence = *sampled[static_cast<size_t>(i)];
      const auto banned = sequence.request.ignore_eos ? parts_.tokenizer.end_ids()
                                                      : std::span<const text::TokenId>();
      sequence.sample = sequence.sampler.Draw(batch_.LogitsOf(static_cast<size_t>(i)), banned);
    }
  };
  const auto count = static_cast<int64_t>(sampled.size());
  if (count == 1) {
    draw(0, 1, 0);
  } else if (count > 1) {
    parts_.team.ParallelFor(count, 1, draw);
  }
}

}  // namespace pelton::engine
