// The two stages that compute: the model's step, and sampling, which the worker team shares.
#include "engine/loop.h"

namespace pelton::engine {

void Loop::Step() {
  step_begin_ns_ = parts_.clock.NowNs();
  parts_.model.Forward(batch_.View(), storage_, parts_.team, batch_.Logits());
}

// Each sequence has its own sampler and its own rows of logits, so they may be drawn side by side.
void Loop::Sample() {
  const auto draw = [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) DrawTokens(static_cast<size_t>(i));
  };
  const auto count = static_cast<int64_t>(batch_.sampled().size());
  if (count == 1) {
    draw(0, 1, 0);
  } else if (count > 1) {
    parts_.team.ParallelFor(count, 1, draw);
  }
  step_cost_.Observe(batch_.rows(), parts_.clock.NowNs() - step_begin_ns_);
}

}  // namespace pelton::engine
