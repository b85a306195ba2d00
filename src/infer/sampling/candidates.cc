#include "sampling/candidates.h"

#include <algorithm>
#include <cmath>

namespace pelton::sampling {

namespace {

constexpr size_t kScanWidth = 64;  // values looked at together before the heap is asked

// Whether any value is above `bar`. Written so that the compiler vectorises it.
bool AnyAbove(const float* values, size_t n, float bar) {
  int any = 0;
  for (size_t i = 0; i < n; ++i) any |= static_cast<int>(values[i] > bar);
  return any != 0;
}

void SelectTopOfMany(std::span<const float> values, int k, std::vector<Candidate>* out) {
  for (size_t i = 0; i < values.size(); ++i) {
    out->push_back({.value = values[i], .id = static_cast<int32_t>(i)});
  }
  std::nth_element(out->begin(), out->begin() + (k - 1), out->end(), Better);
  out->resize(static_cast<size_t>(k));
}

void SetWeights(std::vector<Candidate>* candidates) {
  for (Candidate& c : *candidates) c.weight = std::exp(static_cast<double>(c.value));
}

}  // namespace

void SelectTop(std::span<const float> values, int k, std::vector<Candidate>* out) {
  out->clear();
  if (k <= 0) return;
  const auto wanted = static_cast<size_t>(k);
  if (k > kHeapMax) {
    SelectTopOfMany(values, k, out);
  } else {
    for (size_t i = 0; i < wanted; ++i) {
      out->push_back({.value = values[i], .id = static_cast<int32_t>(i)});
    }
    // With Better as "less", the heap's front is the worst candidate kept.
    std::make_heap(out->begin(), out->end(), Better);
    for (size_t begin = wanted; begin < values.size(); begin += kScanWidth) {
      const size_t end = std::min(begin + kScanWidth, values.size());
      if (!AnyAbove(values.data() + begin, end - begin, out->front().value)) continue;
      for (size_t i = begin; i < end; ++i) {
        if (values[i] <= out->front().value) continue;  // an equal one has the higher id
        std::pop_heap(out->begin(), out->end(), Better);
        out->back() = {.value = values[i], .id = static_cast<int32_t>(i)};
        std::push_heap(out->begin(), out->end(), Better);
      }
    }
  }
  std::sort(out->begin(), out->end(), Better);
}

void SumRuns(std::span<const float> values, const kernels::KernelTable& table, RunSums* runs) {
  runs->max.clear();
  runs->sum.clear();
  runs->total = 0.;
  for (size_t begin = 0; begin < values.size(); begin += kRunLength) {
    const size_t n = std::min<size_t>(kRunLength, values.size() - begin);
    float max = 0.f;
    double sum = 0.;
    table.max_sum_exp(values.data() + begin, static_cast<int>(n), &max, &sum);
    sum *= std::exp(static_cast<double>(max));
    runs->max.push_back(max);
    runs->sum.push_back(sum);
    runs->total += sum;
  }
}

int32_t DrawFromAll(std::span<const float> values, const RunSums& runs, double point) {
  // The run first, then the place in it. The kernel's exp and this one may differ in the last bits,
  // so the place is found as a fraction of the run's own sum.
  const double target = point * runs.total;
  double before = 0.;
  size_t run = 0;
  size_t last_with_weight = 0;
  for (; run < runs.sum.size(); ++run) {
    if (target < before + runs.sum[run]) break;
    if (runs.sum[run] > 0.) last_with_weight = run;
    before += runs.sum[run];
  }
  const bool past_the_end = run == runs.sum.size();
  if (past_the_end) run = last_with_weight;
  const size_t begin = run * kRunLength;
  const size_t n = std::min<size_t>(kRunLength, values.size() - begin);
  double weights[kRunLength];
  double sum = 0.;
  for (size_t i = 0; i < n; ++i) {
    weights[i] = std::exp(static_cast<double>(values[begin + i]));
    sum += weights[i];
  }
  const double inside = past_the_end ? sum : (target - before) / runs.sum[run] * sum;
  double seen = 0.;
  size_t chosen = 0;
  for (size_t i = 0; i < n; ++i) {
    if (weights[i] > 0.) chosen = i;
    seen += weights[i];
    if (inside < seen) break;
  }
  return static_cast<int32_t>(begin + chosen);
}

void CollectAbove(std::span<const float> values, const RunSums& runs, float floor,
                  std::vector<Candidate>* out) {
  out->clear();
  for (size_t run = 0; run < runs.max.size(); ++run) {
    if (runs.max[run] < floor) continue;
    const size_t begin = run * kRunLength;
    const size_t end = std::min<size_t>(begin + kRunLength, values.size());
    for (size_t i = begin; i < end; ++i) {
      if (values[i] >= floor) out->push_back({.value = values[i], .id = static_cast<int32_t>(i)});
    }
  }
  SetWeights(out);
}

double TotalWeight(std::span<const Candidate> candidates) {
  double total = 0.;
  for (const Candidate& c : candidates) total += c.weight;
  return total;
}

namespace {

// Keeps the fewest candidates of lowest key (≥ 0; ties by lower id) whose weight reaches `target`; at
// least one. Sorts only the bin of keys that the cut falls into.
template <typename Key>
void KeepMass(double target, Key key, std::vector<Candidate>* candidates) {
  constexpr int kBins = 4096;
  constexpr double kBinsANat = 64.;
  const auto bin_of = [&](const Candidate& c) {
    return static_cast<int>(std::min(key(c) * kBinsANat, kBins - 1.));
  };
  const auto before = [&](const Candidate& a, const Candidate& b) {
    const double key_a = key(a);
    const double key_b = key(b);
    return key_a < key_b || (key_a == key_b && a.id < b.id);
  };
  double weights[kBins] = {};
  for (const Candidate& c : *candidates) weights[bin_of(c)] += c.weight;
  double kept = 0.;
  int cut_bin = 0;
  while (cut_bin < kBins - 1 && kept + weights[cut_bin] < target) kept += weights[cut_bin++];
  std::erase_if(*candidates, [&](const Candidate& c) { return bin_of(c) > cut_bin; });
  const auto cut_begin = std::partition(candidates->begin(), candidates->end(),
                                        [&](const Candidate& c) { return bin_of(c) < cut_bin; });
  std::sort(cut_begin, candidates->end(), before);
  auto cut = static_cast<size_t>(cut_begin - candidates->begin());
  while (cut < candidates->size() && (kept < target || cut == 0)) {
    kept += (*candidates)[cut++].weight;
  }
  candidates->resize(cut);
}

}  // namespace

void KeepTopP(double total, double top_p, std::vector<Candidate>* candidates) {
  float best = candidates->front().value;
  for (const Candidate& c : *candidates) best = std::max(best, c.value);
  const auto below_best = [best](const Candidate& c) {
    return static_cast<double>(best) - static_cast<double>(c.value);
  };
  KeepMass(top_p * total, below_best, candidates);
}

void KeepTypical(double typical_p, std::vector<Candidate>* candidates) {
  // p = weight / total; information -ln p = ln total - value; entropy its mean. So the distance of
  // a token's information from the entropy is that of its value from the mean value.
  const double total = TotalWeight(*candidates);
  double mean_value = 0.;
  for (const Candidate& c : *candidates) mean_value += c.weight * c.value;
  mean_value /= total;
  const auto distance = [mean_value](const Candidate& c) {
    return std::abs(static_cast<double>(c.value) - mean_value);
  };
  KeepMass(typical_p * total, distance, candidates);
}

void KeepMinP(double min_p, std::vector<Candidate>* candidates) {
  double best = 0.;
  for (const Candidate& c : *candidates) best = std::max(best, c.weight);
  std::erase_if(*candidates, [&](const Candidate& c) { return c.weight < min_p * best; });
}

int32_t DrawFrom(std::span<const Candidate> candidates, double point) {
  const double target = point * TotalWeight(candidates);
  double seen = 0.;
  int32_t chosen = candidates.front().id;
  for (const Candidate& c : candidates) {
    if (c.weight > 0.) chosen = c.id;
    seen += c.weight;
    if (target < seen) break;
  }
  return chosen;
}

}  // namespace pelton::sampling
