// The tokens that may still be drawn, and the cuts that shrink them. Values are logits scaled by the
// temperature with the maximum at 0, so a weight exp(value) lies in (0, 1]. The order of candidates
// is total: higher value first, ties by lower id; so every cut is one exact set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"

namespace pelton::sampling {

struct Candidate {
  float value = 0.f;
  int32_t id = 0;
  double weight = 0.;  // exp(value)
};

inline bool Better(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

// The k best of `values` into `out`, best first, weights not set. One pass with a heap of k; above
// kHeapMax a selection over all. k ≤ values.size().
inline constexpr int kHeapMax = 4096;
void SelectTop(std::span<const float> values, int k, std::vector<Candidate>* out);

// Σ exp over runs of kRunLength consecutive values, so that a draw or a cut looks into few of them.
inline constexpr int kRunLength = 512;
struct RunSums {
  std::vector<float> max;    // of each run
  std::vector<double> sum;   // Σ exp(value) of each run
  double total = 0.;
};
void SumRuns(std::span<const float> values, const kernels::KernelTable& table, RunSums* runs);

// The id at `point` (in [0, 1)) of the cumulated weights of all values, in order of ids.
int32_t DrawFromAll(std::span<const float> values, const RunSums& runs, double point);

// Candidates with value ≥ floor, in order of ids, weights set; runs whose maximum is lower are not
// looked at.
void CollectAbove(std::span<const float> values, const RunSums& runs, float floor,
                  std::vector<Candidate>* out);

double TotalWeight(std::span<const Candidate> candidates);

// Each keeps at least one candidate. `total` is the weight that probabilities are relative to, which
// may exceed that of the candidates given.
void KeepTopP(double total, double top_p, std::vector<Candidate>* candidates);
void KeepTypical(double typical_p, std::vector<Candidate>* candidates);
void KeepMinP(double min_p, std::vector<Candidate>* candidates);

// The id at `point` (in [0, 1)) of the cumulated weights, in the order given.
int32_t DrawFrom(std::span<const Candidate> candidates, double point);

}  // namespace pelton::sampling
