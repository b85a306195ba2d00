#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace pelton {
namespace {
std::atomic<uint64_t> bug_count{0};
}  // namespace

uint64_t BugCount() { return bug_count.load(std::memory_order_relaxed); }

namespace internal {

void CheckFailed(const char* file, int line, const char* expr, const char* why) {
  std::fprintf(stderr, "pelton: fatal: %s:%d: %s is false: %s\n", file, line, expr, why);
  std::fflush(stderr);
  std::abort();
}

bool ReportBug(const char* file, int line, const char* expr, const char* why,
               std::atomic<bool>* reported) {
  bug_count.fetch_add(1, std::memory_order_relaxed);
  if (!reported->exchange(true)) {
    std::fprintf(stderr, "pelton: bug: %s:%d: %s: %s (reported once; please tell us)\n", file, line,
                 expr, why);
  }
  return true;
}

}  // namespace internal
}  // namespace pelton
