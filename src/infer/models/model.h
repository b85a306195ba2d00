// A model family as the engine sees it: plain arrays in, logits out. Models never know requests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "base/status.h"
#include "format/model_file.h"
#include "kernels/kernels.h"
#include "kv/kv_storage.h"
#include "nn/team.h"

namespace pelton::models {

class PackedCache;
struct PackedImage;

// Consecutive rows of one sequence in a batch. Rows sit at positions
// [position, position + rows); their KV is written by the step; block_table covers them.
struct SequenceRows {
  int row_begin = 0;
  int rows = 0;
  int position = 0;
  std::span<const int32_t> block_table;
};

// One step's work. Logits are computed only for `logit_rows`.
struct BatchView {
  std::span<const int32_t> tokens;  // [rows], ids in [0, vocab)
  std::span<const SequenceRows> sequences;
  std::span<const int32_t> logit_rows;  // ascending indices into tokens
};

// Defaults that the file or the family gives; each is used when a request says nothing.
struct SamplingDefaults {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
};

struct ModelInfo {
  std::string architecture;  // "llama", "gemma3"
  std::string name;          // general.name, or empty
  std::string quantization;  // the commonest weight type, "Q4_1"
  int vocab_size = 0;
  int context_length = 0;    // that the model was made for
  int layers = 0;
  uint64_t parameters = 0;
  uint64_t weight_bytes = 0;  // resident, packed
  bool weights_from_cache = false;
  size_t kv_block_bytes = 0;  // of one block in one layer
  uint64_t position_bytes = 0;  // of tables that grow with the positions used, at most
  SamplingDefaults sampling;
};

struct LoadOptions {
  const kernels::KernelTable* table = nullptr;
  MemoryShare memory = {};  // weights and buffers are taken from it, and held while the model lives
  // Called with done and total bytes while weights are packed; may be empty.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
  // Where packed weights are looked for; may be null.
  const PackedCache* packed = nullptr;
  // What matrices of floats are packed as: Q8_0, Q4_0 or Q4_1; nothing: as they are.
  std::optional<tensor::DType> quantize = std::nullopt;
  // Logits of a row have the same bits in any batch. Off, steps of few rows may be faster.
  bool batch_invariant = true;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;

  // What to give PackedCache::Write, valid as long as the model and its file; null when the weights
  // came from the cache or none was given.
  virtual const PackedImage* packed_image() const { return nullptr; }

  // logits: [logit_rows, vocab_size]. The caller holds the team's Turn and owns all that the batch
  // points to. Not thread-safe: one step at a time. Sizes beyond `MaxRows()` must be split.
  virtual void Forward(const BatchView& batch, kv::KvStorage& kv, nn::Team& team,
                       std::span<float> logits) = 0;
  virtual int MaxRows() const = 0;
};

// Checks hyper-parameters and every tensor's name, type and shape, computes the memory needed and
// refuses (RESOURCE_EXHAUSTED, with both numbers) before anything large is allocated. Takes the
// team's Turn while it packs: the caller must not hold it.
Result<std::unique_ptr<Model>> LoadModel(const format::ModelFile& file, const LoadOptions& options,
                                         nn::Team& team);

// Families this build knows, for messages and documentation.
std::vector<std::string> KnownArchitectures();

}  // namespace pelton::models
