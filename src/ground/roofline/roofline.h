// This machine's limits, measured. Every figure is the best of many tries.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

namespace pelton::roofline {

struct Options {
  int threads = 1;         // at most; every measurement is also made with one
  double seconds = 0.25;   // of each measurement
  size_t bytes_max = size_t{1} << 30;  // larger sizes are not read
  // Called before each measurement with what comes; may be empty.
  std::function<void(std::string_view what)> progress;
};

struct ReadSpeed {
  size_t bytes = 0;
  bool huge_pages = false;  // asked for; the kernel may have none
  int threads = 1;
  double bytes_per_s = 0;
};

struct MultiplySpeed {
  std::string_view name;  // "avx2_fma_f32"
  std::string_view what;  // for a table: "AVX2 FMA, fp32"
  int threads = 1;
  double ops_per_s = 0;  // a multiplication and an addition are two
};

// 1 MiB, 64 MiB and 1 GiB, in pages of 4 KiB and in huge pages, with one thread and with
// `threads`. Sizes above bytes_max or half of the memory left are left out.
std::vector<ReadSpeed> MeasureReads(const Options& options);

// One size, in huge pages, with `options.threads` only; 0 when there is no memory for it.
double MeasureRead(size_t bytes, const Options& options);

// Every instruction set that is usable here, with one thread and with `threads`.
std::vector<MultiplySpeed> MeasureMultiplies(const Options& options);

}  // namespace pelton::roofline
