// Qwen2, Qwen2.5 (and DeepSeek-R1's distils of them) and Qwen3, dense: Llama, with biases on q, k and v in the
// former and a norm on each head of q and k in the latter.
// Sources: Yang et al. 2024; Qwen Team 2025, section 2; the GGUF specification.
#include <cmath>
#include <optional>

#include <fmt/core.h>

#include "models/decoder.h"

namespace pelton::models {
namespace {

class Qwen : public Decoder {
 protected:
  // What the two differ in.
  virtual Status DeclareOwn(WeightPlan& plan, int layer) = 0;

  Status Declare(const format::ModelFile&, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      RETURN_IF_ERROR(DeclareLayer(plan, layer));
      RETURN_IF_ERROR(DeclareOwn(plan, layer));
    }
    rope_.emplace(InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor), kContextMax);
    scale_ = 1.f / std::sqrt(static_cast<float>(hyper_.head_dim));
    return OkStatus();
  }

  void RunLayer(int layer) override {
    const DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    Normalise(w.attention_norm);
    ProjectQkv(w);
    if (w.q_norm != nullptr) NormaliseHeads(w);
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

class Qwen2 final : public Qwen {
 protected:
  Status DeclareOwn(WeightPlan& plan, int layer) override {
    DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    const std::string prefix = fmt::format("blk.{}.", layer);
    RETURN_IF_ERROR(plan.Vector(prefix + "attn_q.bias", hyper_.q_width(), &w.q_bias));
    RETURN_IF_ERROR(plan.Vector(prefix + "attn_k.bias", hyper_.kv_width(), &w.k_bias));
    return plan.Vector(prefix + "attn_v.bias", hyper_.kv_width(), &w.v_bias);
  }
};

class Qwen3 final : public Qwen {
 public:
  Qwen3() {
    // generation_config of the published models, for their thinking mode.
    family_sampling_ = {.temperature = 0.6f, .top_p = 0.95f, .min_p = std::nullopt,
                        .repetition_penalty = std::nullopt, .top_k = 20};
  }

 protected:
  Status DeclareOwn(WeightPlan& plan, int layer) override {
    return DeclareQkNorms(plan, layer, hyper_.head_dim, hyper_.head_dim);
  }
};

}  // namespace

std::unique_ptr<Decoder> MakeQwen2() { return std::make_unique<Qwen2>(); }
std::unique_ptr<Decoder> MakeQwen3() { return std::make_unique<Qwen3>(); }

}  // namespace pelton::models
