// Writes the seeds of the model target:  model_seeds FOLDER
#include <cstdio>
#include <fstream>
#include <string>

#include "models/testing/model_maker.h"

namespace {

using pelton::models::ModelMaker;

void Save(const std::string& path, const ModelMaker& maker) {
  const std::vector<std::byte> bytes = maker.Make().Bytes();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  ModelMaker small{.dim = 4, .feed_forward = 6, .vocab = 5, .heads = 2, .kv_heads = 1, .head_dim = 2};
  Save(folder + "/llama", small);
  ModelMaker rope = small;
  rope.tensors = {{"rope_freqs.weight", pelton::tensor::DType::kF32, {1}, {2.f}}};
  rope.keys = {{"llama.rope.scaling.type", std::string_view("linear")},
               {"llama.rope.scaling.factor", 4.0},
               {"llama.attention.sliding_window", uint64_t{4}}};
  Save(folder + "/llama_rope", rope);
  ModelMaker gemma = small;
  gemma.architecture = "gemma3";
  gemma.layers = 2;
  gemma.keys = {{"gemma3.attention.sliding_window_pattern", uint64_t{2}},
                {"gemma3.attention.sliding_window", uint64_t{4}}};
  Save(folder + "/gemma3", gemma);
  for (const char* architecture : {"gemma2", "olmo2", "phi3", "qwen2", "qwen3"}) {
    ModelMaker other = small;
    other.architecture = architecture;
    if (other.architecture == "phi3") {
      other.tensors = {{"rope_factors_short.weight", pelton::tensor::DType::kF32, {1}, {2.f}}};
      other.keys = {{"phi3.rope.scaling.original_context_length", uint64_t{64}},
                    {"phi3.rope.scaling.attn_factor", 1.2}};
    }
    Save(folder + "/" + architecture, other);
  }
  ModelMaker blocks{.dim = 32, .feed_forward = 32, .vocab = 3, .heads = 1, .kv_heads = 1, .head_dim = 32};
  blocks.dtype = pelton::tensor::DType::kQ4_1;
  Save(folder + "/q4_1", blocks);
  small.dtype = pelton::tensor::DType::kF16;
  Save(folder + "/f16", small);
  return 0;
}
