#include "kernels/testing/emulated_tables.h"

#include "kernels/x86/amx/table.h"

namespace pelton::kernels::testing {

std::vector<const KernelTable*> EmulatedTables(const CpuFeatures& cpu) {
  std::vector<const KernelTable*> out;
  if (!cpu.avx2) return out;
  out.push_back(&kEmulatedAmxTable);
  out.push_back(&kEmulatedAmxInt8Table);
  if (cpu.amx_tile) return out;  // nothing would trap
  out.push_back(&kTrappedAmxTable);
  out.push_back(&kTrappedAmxInt8Table);
  if (cpu.avx512_bf16 && cpu.avx512_fp16) out.push_back(&kAmxTable);
  if (cpu.avx512_vnni) out.push_back(&kAmxInt8Table);
  return out;
}

}  // namespace pelton::kernels::testing
