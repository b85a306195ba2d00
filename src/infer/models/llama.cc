// Llama and what is built like it: SmolLM2, Llama 3.x (its rope scaling comes as the tensor
// rope_freqs.weight), Mistral (heads of any width, an optional window).
// Sources: Touvron et al. 2023; Grattafiori et al. 2024; Jiang et al. 2023; the GGUF specification.
#include <cmath>
#include <optional>

#include "models/decoder.h"

namespace pelton::models {
namespace {

class Llama final : public Decoder {
 protected:
  Status Declare(const format::ModelFile& file, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      RETURN_IF_ERROR(DeclareLayer(plan, layer));
    }
    auto frequencies = InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor);
    RETURN_IF_ERROR(ApplyRopeFactors(file, plan, "rope_freqs.weight", hyper_.rope_dim, frequencies));
    rope_.emplace(std::move(frequencies), kContextMax);
    auto halves = file.metadata().BoolOr("llama.rope.halves", false);
    RETURN_IF_ERROR(halves.status());
    rope_style_ = *halves ? kernels::RopeStyle::kHalves : kernels::RopeStyle::kInterleaved;
    scale_ = 1.f / std::sqrt(static_cast<float>(hyper_.head_dim));
    return OkStatus();
  }

  void RunLayer(int layer) override {
    const DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    Normalise(w.attention_norm);
    ProjectQkv(w);
    Rotate(*rope_, rope_style_);
    Attend(layer, hyper_.window, scale_);
    ProjectOut(w.o);
    AddToResidual();
    Normalise(w.ffn_norm);
    FeedForward(w, nn::Gate::kSilu);
    AddToResidual();
  }

 private:
  std::optional<nn::RopeTable> rope_;
  kernels::RopeStyle rope_style_ = kernels::RopeStyle::kInterleaved;  // GGUF permutes rows of q and k
  float scale_ = 1.f;
};

}  // namespace

std::unique_ptr<Decoder> MakeLlama() { return std::make_unique<Llama>(); }

}  // namespace pelton::models
