// Qwen2 and Qwen2.5 (and DeepSeek-R1's distils of them): Llama with biases on q, k and v.
// Source: Yang et al. 2024; the GGUF specification.
#include <cmath>
#include <optional>

#include <fmt/core.h>

#include "models/decoder.h"

namespace pelton::models {
namespace {

class Qwen2 final : public Decoder {
 protected:
  Status Declare(const format::ModelFile&, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      RETURN_IF_ERROR(DeclareLayer(plan, layer));
      DecoderLayer& w = layers_[static_cast<size_t>(layer)];
      const std::string prefix = fmt::format("blk.{}.", layer);
      RETURN_IF_ERROR(plan.Vector(prefix + "attn_q.bias", hyper_.q_width(), &w.q_bias));
      RETURN_IF_ERROR(plan.Vector(prefix + "attn_k.bias", hyper_.kv_width(), &w.k_bias));
      RETURN_IF_ERROR(plan.Vector(prefix + "attn_v.bias", hyper_.kv_width(), &w.v_bias));
    }
    rope_.emplace(InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor), kContextMax);
    scale_ = 1.f / std::sqrt(static_cast<float>(hyper_.head_dim));
    return OkStatus();
  }

  void RunLayer(int layer) override {
    const DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    Normalise(w.attention_norm);
    ProjectQkv(w);
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

std::unique_ptr<Decoder> MakeQwen2() { return std::make_unique<Qwen2>(); }

}  // namespace pelton::models
