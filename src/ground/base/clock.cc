#include "base/clock.h"

#include <ctime>

namespace pelton {
namespace {

int64_t Read(clockid_t id) {
  std::timespec t{};
  clock_gettime(id, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

class RealClock final : public Clock {
 public:
  int64_t NowNs() const override { return Read(CLOCK_MONOTONIC); }
  int64_t WallS() const override { return Read(CLOCK_REALTIME) / 1'000'000'000; }
};

}  // namespace

const Clock& SystemClock() {
  static const RealClock clock;
  return clock;
}

}  // namespace pelton
