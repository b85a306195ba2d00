// How long steps take, and what follows from it: how many prompt rows a step may have beside
// decoding ones so that the time between tokens stays near its target. Learns from the engine's own
// steps, forgets old ones. Text never depends on it (docs/adr/0002). Owned by the engine thread.
#pragma once

#include <array>
#include <cstdint>

namespace pelton::engine {

// What a step computes.
struct StepShape {
  int decode_rows = 0;
  int prompt_rows = 0;
  // Positions that attention reads: of each row its own and all before it.
  int64_t decode_attended = 0;
  int64_t prompt_attended = 0;
};

// Step time = a + b·decode rows + c·prompt rows + d·decode attended + e·prompt attended, none of
// them negative. Fitted by least squares of the relative error over the last steps (weights fall by
// kForget a step); directions in which those say nothing keep their last value.
class StepTimeModel {
 public:
  void Observe(const StepShape& shape, int64_t step_ns);
  int64_t PredictNs(const StepShape& shape) const;
  int64_t observed() const { return observed_; }
  bool knows_prompts() const { return knows_prompts_; }

 private:
  static constexpr int kTerms = 5;
  using Vector = std::array<double, kTerms>;

  static Vector TermsOf(const StepShape& shape);
  void Fit();

  std::array<Vector, kTerms> moment_{};  // Σ weight · x xᵀ
  Vector product_{};                     // Σ weight · x
  Vector factors_{};                     // in ms
  int64_t observed_ = 0;
  bool knows_prompts_ = false;
};

class Pace {
 public:
  static constexpr int64_t kTargetMinNs = 40'000'000;  // of the automatic target
  static constexpr int kRowsMin = 8;    // a prompt is never starved
  static constexpr int kRowsFirst = 16; // until a mixed step has been seen

  // target_ns: wanted time between tokens; 0: twice a step that only decodes, at least kTargetMinNs.
  explicit Pace(int64_t target_ns) : fixed_target_ns_(target_ns) {}

  // The next step: its decoding rows and what they attend to, and at which position the first prompt
  // goes on. Sets target_ns() and gives the prompt rows that fit (≥ kRowsMin). `owed`: the prompt's
  // tenant has had less than its part beside these rows, so they may be held up a little more.
  int PromptRows(const StepShape& decodes, int prompt_position, bool owed = false);
  void Observe(const StepShape& shape, int64_t step_ns);

  // How many prompt rows cost as much as one of these decoding rows: kGeneratedCostMin when nothing
  // is known, kGeneratedCostMax at most.
  double GeneratedCost(const StepShape& decodes) const;
  static constexpr double kGeneratedCostMin = 2, kGeneratedCostMax = 64;

  int64_t target_ns() const { return target_ns_; }
  int prompt_rows() const { return prompt_rows_; }

 private:
  int RowsWithin(StepShape shape, int position, double limit_ns) const;

  const int64_t fixed_target_ns_;
  StepTimeModel model_;
  int64_t target_ns_ = 0;
  int prompt_rows_ = 0;
  int mixed_rows_max_ = kRowsFirst / 2;  // most prompt rows seen beside decoding ones
};

}  // namespace pelton::engine
