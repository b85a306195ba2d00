#include "roofline/crew.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/thread.h"

namespace pelton::roofline {
namespace {

constexpr int kTriesMin = 3;
constexpr int kSpins = 2000;  // before a waiting thread lets others run

// A spinning barrier: threads leave it within a fraction of a microsecond of each other, where a
// sleeping one would add its wake-up to what is measured.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void Wait() {
    const int phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; ++spins) {
      if (spins > kSpins) sched_yield();
    }
  }

 private:
  const int threads_;
  std::atomic<int> arrived_{0};
  std::atomic<int> phase_{0};
};

struct Span {
  int64_t begin_ns = 0, end_ns = 0;
};

}  // namespace

double BestTime(int threads, double seconds, const std::function<void(int thread)>& body) {
  Barrier barrier(threads);
  std::vector<Span> spans(static_cast<size_t>(threads));
  std::atomic<bool> enough{false};
  int64_t best_ns = std::numeric_limits<int64_t>::max();
  const int64_t until_ns = NowNs() + static_cast<int64_t>(seconds * 1e9);
  const std::vector<int> cpus = AffinityCpus();
  const auto run = [&](int thread) {
    PinCurrentThread(cpus[static_cast<size_t>(thread) % cpus.size()]);
    for (int tries = 1; !enough.load(std::memory_order_relaxed); ++tries) {
      Span& span = spans[static_cast<size_t>(thread)];
      barrier.Wait();
      span.begin_ns = NowNs();
      body(thread);
      span.end_ns = NowNs();
      barrier.Wait();
      if (thread == 0) {
        int64_t begin = std::numeric_limits<int64_t>::max();
        int64_t end = 0;
        for (const Span& each : spans) {
          begin = std::min(begin, each.begin_ns);
          end = std::max(end, each.end_ns);
        }
        best_ns = std::min(best_ns, std::max<int64_t>(end - begin, 1));
        enough = tries >= kTriesMin && NowNs() > until_ns;
      }
      barrier.Wait();  // everybody sees the same `enough`
    }
  };
  {
    std::vector<std::jthread> crew;
    for (int thread = 0; thread < threads; ++thread) {
      crew.push_back(StartThread("roofline", [&run, thread](std::stop_token) { run(thread); }));
    }
  }
  return static_cast<double>(best_ns) * 1e-9;
}

}  // namespace pelton::roofline
