#include <fmt/core.h>

#include <cstdlib>

#include "base/cpu.h"
#include "choose_kernels.h"

namespace pelton::app {

Result<const kernels::KernelTable*> ChooseKernels() {
  const char* forced = std::getenv("PELTON_FORCE_ISA");
  const CpuFeatures& features = UsableCpuFeatures();
  const kernels::KernelTable* table =
      kernels::ChooseTable(features, forced == nullptr ? "" : forced);
  if (table != nullptr) return table;
  std::string usable;
  for (const kernels::KernelTable* t : kernels::AllTables()) {
    if (t->usable(features)) usable += (usable.empty() ? "" : ", ") + std::string(t->name);
  }
  return InvalidArgument(fmt::format("PELTON_FORCE_ISA={} is not usable here; usable are: {}",
                                     forced == nullptr ? "" : forced, usable));
}

}  // namespace pelton::app
