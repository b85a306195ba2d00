// Qwen3, dense: Llama with a norm on each head of q and k.
// Source: Qwen Team 2025, section 2; the GGUF specification.
#include <cmath>
#include <optional>

#include "models/decoder.h"

namespace pelton::models {
namespace {

class Qwen3 final : public Decoder {
 public:
  Qwen3() {
    // generation_config of the published models, for their thinking mode.
    family_sampling_ = {.temperature = 0.6f, .top_p = 0.95f, .min_p = std::nullopt,
                        .repetition_penalty = std::nullopt, .top_k = 20};
  }

 protected:
  Status Declare(const format::ModelFile&, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      RETURN_IF_ERROR(DeclareLayer(plan, layer));
      RETURN_IF_ERROR(DeclareQkNorms(plan, layer, hyper_.head_dim, hyper_.head_dim));
    }
    rope_.emplace(InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor), kContextMax);
    scale_ = 1.f / std::sqrt(static_cast<float>(hyper_.head_dim));
    return OkStatus();
  }

  void RunLayer(int layer) override {
    const DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    Normalise(w.attention_norm);
    ProjectQkv(w);
    NormaliseHeads(w);
    Rotate(*rope_, kernels::RopeStyle::kHalves);
    Attend(layer, hyper_.window, scale_);
    ProjectOut(w.o);
    AddToResidual();
    Normalise(w.ffn_norm);
    FeedForward(w, nn::Gate::kSilu);
    AddToResidual();
  }

 private:
  std::optional<nn::RopeTable> rope_;
  float scale_ = 1.f;
};

}  // namespace

std::unique_ptr<Decoder> MakeQwen3() { return std::make_unique<Qwen3>(); }

}  // namespace pelton::models
