#include "engine/pace.h"

#include <algorithm>
#include <cmath>

namespace pelton::engine {

namespace {

constexpr double kForget = 0.97;  // the last 33 steps or so count
constexpr double kRidge = 1e-4;   // pull towards the last value, in units of one observation
constexpr double kMs = 1e-6;      // ns → ms
// One in a term is about what an everyday step has of it, so that the ridge pulls on all alike.
constexpr double kDecodeUnit = 8, kPromptUnit = 64, kAttendedUnit = 16384;
// A step this many times as long as foreseen was disturbed from outside and counts no longer.
constexpr double kOutlier = 3;
constexpr int kOutlierAfter = 16;  // steps seen
constexpr double kAim = 0.9;       // of the target: steps scatter
// So that a tenant's prompt gets more than half of the machine when that is its part: at twice the
// time of a step that only decodes, this gives it 1.2 · 2 - 1 of 1.2 · 2.
constexpr double kAimOwed = 1.2;
constexpr int kRowsMax = 1 << 20;
constexpr int kCostRows = 64;      // prompt rows whose mean cost is that of a prompt row

}  // namespace

StepTimeModel::Vector StepTimeModel::TermsOf(const StepShape& shape) {
  return {1., shape.decode_rows / kDecodeUnit, shape.prompt_rows / kPromptUnit,
          static_cast<double>(shape.decode_attended) / kAttendedUnit,
          static_cast<double>(shape.prompt_attended) / kAttendedUnit};
}

int64_t StepTimeModel::PredictNs(const StepShape& shape) const {
  const Vector x = TermsOf(shape);
  double ms = 0;
  for (int i = 0; i < kTerms; ++i) ms += factors_[i] * x[i];
  return static_cast<int64_t>(ms / kMs);
}

void StepTimeModel::Observe(const StepShape& shape, int64_t step_ns) {
  if (step_ns <= 0) return;
  double ms = static_cast<double>(step_ns) * kMs;
  if (observed_ >= kOutlierAfter) {
    const double foreseen_ms = static_cast<double>(PredictNs(shape)) * kMs;
    if (foreseen_ms > 0) ms = std::min(ms, kOutlier * foreseen_ms);
  }
  Vector x = TermsOf(shape);
  for (double& term : x) term /= ms;  // relative error: the wanted sum is 1
  for (int i = 0; i < kTerms; ++i) {
    for (int j = 0; j < kTerms; ++j) moment_[i][j] = kForget * moment_[i][j] + x[i] * x[j];
    product_[i] = kForget * product_[i] + x[i];
  }
  ++observed_;
  knows_prompts_ = knows_prompts_ || shape.prompt_rows > 0;
  Fit();
}

// Solves (moment + ridge) factors = product + ridge · last factors. A factor that would be negative
// is 0 and the others are solved again without it.
void StepTimeModel::Fit() {
  std::array<bool, kTerms> out{};
  double trace = 0;
  for (int i = 0; i < kTerms; ++i) trace += moment_[i][i];
  const double ridge = kRidge * trace;
  for (int round = 0; round < kTerms; ++round) {
    std::array<Vector, kTerms> m = moment_;
    Vector r = product_;
    for (int i = 0; i < kTerms; ++i) {
      m[i][i] += ridge;
      r[i] += ridge * factors_[i];
    }
    Vector solution{};
    // Gauss-Jordan without pivots: the matrix is symmetric and positive definite.
    for (int i = 0; i < kTerms; ++i) {
      if (out[i]) continue;
      for (int j = 0; j < kTerms; ++j) {
        if (j == i || out[j]) continue;
        const double factor = m[j][i] / m[i][i];
        for (int k = 0; k < kTerms; ++k) m[j][k] -= factor * m[i][k];
        r[j] -= factor * r[i];
      }
    }
    int worst = -1;
    for (int i = 0; i < kTerms; ++i) {
      if (out[i]) continue;
      solution[i] = r[i] / m[i][i];
      if (solution[i] < 0 && (worst < 0 || solution[i] < solution[worst])) worst = i;
    }
    if (worst < 0) {
      const bool finite = std::all_of(solution.begin(), solution.end(),
                                      [](double f) { return std::isfinite(f); });
      if (finite) factors_ = solution;
      return;
    }
    out[worst] = true;
  }
}

// The most prompt rows with which the step is foreseen to end in time; attention makes each row
// dearer than the one before.
int Pace::RowsWithin(StepShape shape, int position, double limit_ns) const {
  int fit = 0;
  for (int bit = kRowsMax; bit > 0; bit /= 2) {
    const int64_t rows = fit + bit;
    shape.prompt_rows = fit + bit;
    shape.prompt_attended = rows * position + rows * (rows + 1) / 2;
    if (static_cast<double>(model_.PredictNs(shape)) <= limit_ns) fit += bit;
  }
  return fit;
}

int Pace::PromptRows(const StepShape& decodes, int prompt_position, bool owed) {
  const int64_t decode_ns = model_.PredictNs(decodes);
  target_ns_ = fixed_target_ns_ > 0 ? fixed_target_ns_ : std::max(kTargetMinNs, 2 * decode_ns);
  int rows = kRowsFirst;
  if (model_.knows_prompts()) {
    const double aim = owed ? kAimOwed : kAim;
    rows = RowsWithin(decodes, prompt_position, aim * static_cast<double>(target_ns_));
  }
  // What has not been tried is approached by doubling.
  rows = std::min(rows, 2 * mixed_rows_max_);
  prompt_rows_ = std::max(rows, kRowsMin);
  return prompt_rows_;
}

double Pace::GeneratedCost(const StepShape& decodes) const {
  if (!model_.knows_prompts() || decodes.decode_rows == 0) return kGeneratedCostMin;
  const StepShape prompt{.prompt_rows = kCostRows,
                         .prompt_attended = kCostRows * (kCostRows + 1) / 2};
  const auto prompt_ns = static_cast<double>(model_.PredictNs(prompt) - model_.PredictNs({}));
  const auto decode_ns = static_cast<double>(model_.PredictNs(decodes));
  if (prompt_ns <= 0) return kGeneratedCostMin;
  return std::clamp(decode_ns / decodes.decode_rows / (prompt_ns / kCostRows), kGeneratedCostMin,
                    kGeneratedCostMax);
}

void Pace::Observe(const StepShape& shape, int64_t step_ns) {
  model_.Observe(shape, step_ns);
  if (shape.decode_rows > 0 && step_ns > 0) {
    mixed_rows_max_ = std::clamp(shape.prompt_rows, mixed_rows_max_, kRowsMax / 2);
  }
}

}  // namespace pelton::engine
