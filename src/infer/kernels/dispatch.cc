// The list of tables, best first, and the choice among them.
#include <array>

#include "kernels/kernels.h"
#include "kernels/packed.h"
#include "kernels/ref/ref.h"
#if defined(__x86_64__)
#include "kernels/x86/amx/table.h"
#include "kernels/x86/avx2/table.h"
#include "kernels/x86/avx512/table.h"
#include "kernels/x86/vnni/table.h"
#endif

namespace pelton::kernels {
namespace {

constexpr std::array kTables = {
#if defined(__x86_64__)
    &kAmxTable, &kAmxInt8Table, &kVnniTable, &kAvx512Table, &kAvx2Table,
#endif
    &kRefTable,
};

}  // namespace

std::span<const KernelTable* const> AllTables() { return kTables; }

const KernelTable* ChooseTable(const CpuFeatures& features, std::string_view forced) {
  for (const KernelTable* table : kTables) {
    if (!forced.empty() && table->name != forced) continue;
    if (table->usable(features)) return table;
  }
  return nullptr;
}

const KernelTable& DefinitionOf(const KernelTable& table) {
  return table.definition == nullptr ? kRefTable : *table.definition;
}

size_t KvBlockBytes(int kv_heads, int head_dim) {
  return static_cast<size_t>(kv_heads) * KvHeadBytes(head_dim);
}

}  // namespace pelton::kernels
