// Three asserts, none of which input may ever reach.
//   CHECK   state of ours is corrupt: say where and stop the process.
//   DCHECK  the same in debug builds only; for kernels and inner loops.
//   BUG_IF  a bug that only one request pays for: count it, log it once a place, evaluate to true.
//           Use as  if (BUG_IF(x < 0, "x")) return Internal("…");
#pragma once

#include <atomic>
#include <cstdint>

namespace pelton::internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* expr, const char* why);
bool ReportBug(const char* file, int line, const char* expr, const char* why,
               std::atomic<bool>* reported);
}  // namespace pelton::internal

namespace pelton {
// Bugs met since the process started; exported as a metric.
uint64_t BugCount();
}  // namespace pelton

#define CHECK(cond, why)                                                     \
  do {                                                                       \
    if (!(cond)) [[unlikely]]                                                \
      ::pelton::internal::CheckFailed(__FILE__, __LINE__, #cond, why);       \
  } while (false)

#ifdef NDEBUG
#define DCHECK(cond, why) \
  do {                    \
  } while (false && (cond))
#else
#define DCHECK(cond, why) CHECK(cond, why)
#endif

#define BUG_IF(cond, why)                                                              \
  ([&]() -> bool {                                                                     \
    if (!(cond)) [[likely]]                                                            \
      return false;                                                                    \
    static std::atomic<bool> reported{false};                                          \
    return ::pelton::internal::ReportBug(__FILE__, __LINE__, #cond, why, &reported);   \
  }())
