// OLMo 2: norms after attention and feed-forward instead of before, and on whole rows of q and k.
// Source: OLMo Team 2025, section 3; the GGUF specification.
#include <cmath>
#include <optional>

#include "models/decoder.h"

namespace pelton::models {
namespace {

class Olmo2 final : public Decoder {
 protected:
  Status Declare(const format::ModelFile&, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      RETURN_IF_ERROR(DeclareMatrices(plan, layer));
      RETURN_IF_ERROR(DeclareQkNorms(plan, layer, hyper_.q_width(), hyper_.kv_width()));
      RETURN_IF_ERROR(DeclareNormsAfter(plan, layer));
    }
    rope_.emplace(InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor), kContextMax);
    scale_ = 1.f / std::sqrt(static_cast<float>(hyper_.head_dim));
    return OkStatus();
  }

  void RunLayer(int layer) override {
    const DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    UseResidual();
    ProjectQkv(w);
    NormaliseQk(w);
    Rotate(*rope_, kernels::RopeStyle::kHalves);
    Attend(layer, hyper_.window, scale_);
    ProjectOut(w.o);
    NormaliseOutput(w.post_attention_norm);
    AddToResidual();
    UseResidual();
    FeedForward(w, nn::Gate::kSilu);
    NormaliseOutput(w.post_ffn_norm);
    AddToResidual();
  }

 private:
  std::optional<nn::RopeTable> rope_;
  float scale_ = 1.f;
};

}  // namespace

std::unique_ptr<Decoder> MakeOlmo2() { return std::make_unique<Olmo2>(); }

}  // namespace pelton::models
