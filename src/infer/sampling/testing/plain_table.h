// A kernel table with the two entries that sampling uses, in plain loops, for tests that must not
// depend on the machine.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"

namespace pelton::sampling::testing {

inline void PlainMaxSumExp(const float* x, int n, float* max, double* sum_exp) {
  *max = *std::max_element(x, x + n);
  *sum_exp = 0.;
  for (int i = 0; i < n; ++i) *sum_exp += static_cast<double>(std::exp(x[i] - *max));
}

inline int PlainArgmax(const float* x, int n) {
  return static_cast<int>(std::max_element(x, x + n) - x);
}

inline const kernels::KernelTable& PlainTable() {
  static const kernels::KernelTable table = [] {
    kernels::KernelTable t{};
    t.name = "plain";
    t.max_sum_exp = PlainMaxSumExp;
    t.argmax = PlainArgmax;
    return t;
  }();
  return table;
}

}  // namespace pelton::sampling::testing
