// How much memory this program holds through operator new: now, and at most since the last reset.
// For tests that a small file cannot ask for a large allocation. Thread-safe.
#pragma once

#include <cstddef>

namespace pelton::cve {

size_t LiveBytes();
size_t PeakBytes();
void ResetPeak();  // the peak becomes what is held now

}  // namespace pelton::cve
