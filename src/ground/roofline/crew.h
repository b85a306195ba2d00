// Threads that do one thing again and again, started together each time.
#pragma once

#include <functional>

namespace pelton::roofline {

// Seconds from the first start to the last end of body(thread), run by `threads` pinned threads at
// once: the shortest of as many tries as fit into `seconds`, at least three.
double BestTime(int threads, double seconds, const std::function<void(int thread)>& body);

}  // namespace pelton::roofline
