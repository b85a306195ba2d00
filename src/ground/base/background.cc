#include "base/background.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pelton {

void LowerCurrentThread() {
  const auto self = static_cast<id_t>(syscall(SYS_gettid));
  setpriority(PRIO_PROCESS, self, 19);  // a thread's own, on Linux
  constexpr int kWhoProcess = 1, kClassIdle = 3, kClassShift = 13;  // of linux/ioprio.h
  syscall(SYS_ioprio_set, kWhoProcess, self, kClassIdle << kClassShift);
}

}  // namespace pelton
