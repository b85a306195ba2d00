#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/cpu.h"
#include "roofline/crew.h"
#include "roofline/loops.h"
#include "roofline/roofline.h"

namespace pelton::roofline {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kHugePage = 2 * kMiB;
constexpr size_t kSizes[] = {kMiB, 64 * kMiB, 1024 * kMiB};
constexpr size_t kTryBytes =
    32 * kMiB;  // read in one try, at least: some 1 ms, well above the clock
constexpr double kTrySeconds = 0.002;    // of multiplications

// Written memory, aligned to a huge page, with or without huge pages asked for.
class Pages {
 public:
  Pages(size_t bytes, bool huge) : size_(bytes + kHugePage) {
    mapping_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) return;
    ::madvise(mapping_, size_, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    const auto address = reinterpret_cast<uintptr_t>(mapping_);
    data_ = static_cast<std::byte*>(mapping_) + (kHugePage - address % kHugePage) % kHugePage;
    std::memset(data_, 1, bytes);  // a page never written is the one page of zeros
  }
  ~Pages() {
    if (mapping_ != MAP_FAILED) ::munmap(mapping_, size_);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  const std::byte* data() const { return data_; }  // null when there is no memory

 private:
  const size_t size_;
  void* mapping_ = MAP_FAILED;
  std::byte* data_ = nullptr;
};

ReadLoop BestRead() {
#ifdef PELTON_ROOFLINE_X86
  if (const ReadLoop loop = BestReadX86(UsableCpuFeatures())) return loop;
#endif
  return ReadPortable;
}

bool HasMemory(size_t bytes) { return bytes < ReadMemoryState().available_bytes / 2; }

double ReadSpeedOf(const std::byte* data, size_t bytes, int threads, double seconds) {
  const ReadLoop read = BestRead();
  const size_t part = bytes / static_cast<size_t>(threads) / kReadStep * kReadStep;
  if (part == 0) return 0;
  const size_t passes = std::max<size_t>(1, kTryBytes / bytes);
  const double best = BestTime(threads, seconds, [&](int thread) {
    for (size_t i = 0; i < passes; ++i) read(data + static_cast<size_t>(thread) * part, part);
  });
  return static_cast<double>(part) * threads * static_cast<double>(passes) / best;
}

std::vector<int> ThreadCounts(const Options& options) {
  return options.threads > 1 ? std::vector<int>{1, options.threads} : std::vector<int>{1};
}

double MultiplySpeedOf(const MultiplyLoop& loop, int threads, double seconds) {
  // How many turns a try takes, from one thread's speed.
  constexpr int64_t kProbe = 20'000;
  const double probe = BestTime(1, seconds / 20, [&](int) { loop.run(kProbe); });
  const auto turns = std::max(kProbe, static_cast<int64_t>(kProbe * kTrySeconds / probe));
  const double best = BestTime(threads, seconds, [&](int) { loop.run(turns); });
  return loop.ops_per_turn * static_cast<double>(turns) * threads / best;
}

std::vector<MultiplyLoop> UsableLoops() {
  std::vector<MultiplyLoop> loops;
#ifdef PELTON_ROOFLINE_X86
  for (const MultiplyLoop& loop : MultiplyLoopsX86()) {
    if (loop.usable(UsableCpuFeatures())) loops.push_back(loop);
  }
#endif
  if (loops.empty()) {
    loops.push_back({"portable_f32", "compiled, fp32", [](const CpuFeatures&) { return true; },
                     MultiplyPortable, kPortableOpsPerTurn});
  }
  return loops;
}

void Tell(const Options& options, const std::string& what) {
  if (options.progress) options.progress(what);
}

}  // namespace

std::vector<ReadSpeed> MeasureReads(const Options& options) {
  std::vector<ReadSpeed> speeds;
  for (const size_t bytes : kSizes) {
    if (bytes > options.bytes_max || !HasMemory(bytes)) continue;
    for (const bool huge : {false, true}) {
      const Pages pages(bytes, huge);
      if (pages.data() == nullptr) continue;
      for (const int threads : ThreadCounts(options)) {
        Tell(options, "reading " + std::to_string(bytes / kMiB) + " MiB");
        speeds.push_back({bytes, huge, threads,
                          ReadSpeedOf(pages.data(), bytes, threads, options.seconds)});
      }
    }
  }
  return speeds;
}

double MeasureRead(size_t bytes, const Options& options) {
  bytes = bytes / kReadStep * kReadStep;
  if (bytes == 0 || !HasMemory(bytes)) return 0;
  Tell(options, "reading " + std::to_string(bytes / kMiB) + " MiB");
  const Pages pages(bytes, true);
  return pages.data() == nullptr
             ? 0
             : ReadSpeedOf(pages.data(), bytes, std::max(1, options.threads), options.seconds);
}

std::vector<MultiplySpeed> MeasureMultiplies(const Options& options) {
  std::vector<MultiplySpeed> speeds;
  for (const MultiplyLoop& loop : UsableLoops()) {
    for (const int threads : ThreadCounts(options)) {
      Tell(options, std::string(loop.what));
      speeds.push_back(
          {loop.name, loop.what, threads, MultiplySpeedOf(loop, threads, options.seconds)});
    }
  }
  return speeds;
}

}  // namespace pelton::roofline
