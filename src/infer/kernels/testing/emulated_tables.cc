#include "kernels/testing/emulated_tables.h"

#include "kernels/x86/amx/table.h"

namespace pelton::kernels::testing {

std::vector<const KernelTable*> EmulatedTables(const CpuFeatures& cpu) {
  std::vector<const KernelTable*> out;
  if (!cpu.avx2) return out;
  out.push_back(&kEmulatedAmxTable);
  if (cpu.amx_tile) return out;  // nothing would trap
  out.push_back(&kTrappedAmxTable);
  if (cpu.avx512_bf16) out.push_back(&kAmxTable);
  return out;
}

}  // namespace pelton::kernels::testing
