// Random numbers of a plausible size for each tensor, the same for the same seed whatever the order
// and the size of the pieces asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "format/gguf_writer.h"
#include "generate/shapes.h"

namespace pelton::generate {

// Blocks drawn from a normal distribution and quantised once; tensors are put together by picking
// among them. Copying is some fifty times as fast as drawing, and no reader can tell.
class BlockPool {  // immutable after construction
 public:
  static constexpr int64_t kRun = 256;   // elements: one super-block, or eight blocks of 32
  static constexpr int64_t kRuns = 1024;

  BlockPool(tensor::DType type, double deviation, uint64_t seed);
  // out: one row, whole blocks.
  void FillRow(uint64_t row_seed, std::span<std::byte> out) const;

 private:
  const uint64_t run_bytes_;
  std::vector<std::byte> runs_;
};

class WeightSource {  // owned by one thread; must outlive the fills it gave out
 public:
  WeightSource(const Shape& shape, uint64_t seed) : shape_(shape), seed_(seed) {}
  format::GgufWriter::Fill FillFor(const TensorPlan& plan);

 private:
  const BlockPool& Pool(tensor::DType type, double deviation);

  const Shape& shape_;
  const uint64_t seed_;
  std::map<std::pair<tensor::DType, double>, std::unique_ptr<BlockPool>> pools_;
};

// Llama 3.x's frequency factors, as files carry them in rope_freqs.weight: by wavelength, 1 below
// context/4, `factor` 32 (8 for Llama 3.1) above context, a blend between; context = 8192.
std::vector<float> RopeFactors(int64_t head_dim, double rope_base, double factor);

}  // namespace pelton::generate
