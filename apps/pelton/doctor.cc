// `pelton doctor`: what this machine lets us use, and what would make it faster.
#include <fmt/core.h>
#include <fmt/format.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "choose_kernels.h"
#include "commands.h"
#include "kernels/kernels.h"

namespace pelton::app {
namespace {

std::string Gib(uint64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1ULL << 30));
}

std::string Features(const CpuFeatures& f) {
  std::vector<std::string_view> names;
  if (f.avx2) names.push_back("avx2");
  if (f.avx512) names.push_back("avx512");
  if (f.avx512_vnni) names.push_back("avx512_vnni");
  if (f.avx512_bf16) names.push_back("avx512_bf16");
  if (f.avx512_fp16) names.push_back("avx512_fp16");
  if (f.amx_tile) names.push_back("amx_tile");
  if (f.amx_int8) names.push_back("amx_int8");
  if (f.amx_bf16) names.push_back("amx_bf16");
  return names.empty() ? "none of those we have kernels for" : fmt::format("{}", fmt::join(names, " "));
}

// "always [madvise] never" → "madvise"
std::string HugePages() {
  std::ifstream in("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  std::getline(in, text);
  const size_t open = text.find('[');
  const size_t close = text.find(']');
  if (open == std::string::npos || close == std::string::npos) return "unknown";
  return text.substr(open + 1, close - open - 1);
}

void Line(std::string_view what, const std::string& value) { fmt::print("{:<14}{}\n", what, value); }

int Doctor() {
  const CpuFeatures& features = UsableCpuFeatures();
  const std::string usable = Features(features);
  const std::string advertised = Features(AdvertisedCpuFeatures());
  const auto quota = CgroupCpuQuota();
  const auto cpus = AffinityCpus();
  const MemoryState memory = ReadMemoryState();
  const std::string huge = HugePages();
  const auto table = ChooseKernels();
  Line("cpu", CpuModelName());
  Line("advertised", advertised);
  Line("usable", usable);
  Line("kernels", table.ok() ? std::string((*table)->name) : table.status().message());
  std::vector<std::string> others;
  for (const kernels::KernelTable* t : kernels::AllTables()) {
    others.push_back(fmt::format("{}{}", t->name, t->usable(features) ? "" : " (not here)"));
  }
  Line("built in", fmt::format("{}; PELTON_FORCE_ISA=NAME forces one", fmt::join(others, ", ")));
  Line("cpus", fmt::format("{} by affinity ({})", cpus.size(), fmt::join(cpus, ",")));
  Line("cgroup quota", quota ? fmt::format("{:.2f} CPUs", *quota) : "none");
  Line("threads", std::to_string(ComputeThreadBudget()));
  Line("memory", fmt::format("{} may be used, {} available now", Gib(memory.limit_bytes),
                             Gib(memory.available_bytes)));
  Line("huge pages", huge);
  if (quota && *quota < static_cast<double>(cpus.size())) {
    fmt::print("\nnote: the cgroup's quota is below the number of CPUs; {} compute thread{} used\n",
               ComputeThreadBudget(), ComputeThreadBudget() == 1 ? " is" : "s are");
  }
  if (usable != advertised) {
    fmt::print("\nnote: the CPU has instructions that this process may not use: hypervisor or kernel\n"
               "  do not save their registers, or refused them; kernels fall back by themselves\n");
  }
  if (huge == "never") {
    fmt::print("\nnote: huge pages are off; weights read about a tenth slower. As root:\n"
               "  echo madvise > /sys/kernel/mm/transparent_hugepage/enabled\n");
  }
  return table.ok() ? 0 : 1;
}

}  // namespace

config::Command DoctorCommand() {
  return {
      .name = "doctor",
      .summary = "Say what this machine lets us use: instruction sets, CPUs, memory, kernels.",
      .arguments = "",
      .details = "",
      .arguments_max = 0,
      .hidden = false,
      .bind = {},
      .run = [](std::span<const std::string>) { return Doctor(); },
  };
}

}  // namespace pelton::app
