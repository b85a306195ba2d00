// Phi-3, Phi-3.5 and Phi-4, text only: q, k and v in one matrix, gate and up in another; rotary embedding
// of a part of each head in some; LongRoPE in those of long context, of which the short factors are
// used: such a model is served up to the context that it was trained on before.
// Sources: Abdin et al. 2024; Ding et al. 2024 (LongRoPE); the GGUF specification.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include <fmt/core.h>

#include "models/decoder.h"

namespace pelton::models {
namespace {

constexpr double kMagnitudeMax = 10.0;

class Phi3 final : public Decoder {
 protected:
  Status Declare(const format::ModelFile& file, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      DecoderLayer& w = layers_[static_cast<size_t>(layer)];
      const std::string prefix = fmt::format("blk.{}.", layer);
      using Part = WeightPlan::Stacked;
      RETURN_IF_ERROR(plan.Matrices(prefix + "attn_qkv.weight",
                                    std::array{Part{hyper_.q_width(), &w.q}, Part{hyper_.kv_width(), &w.k},
                                               Part{hyper_.kv_width(), &w.v}},
                                    hyper_.dim));
      RETURN_IF_ERROR(plan.Matrix(prefix + "attn_output.weight", hyper_.dim, hyper_.q_width(), &w.o));
      RETURN_IF_ERROR(plan.Matrices(
          prefix + "ffn_up.weight",
          std::array{Part{hyper_.feed_forward, &w.gate}, Part{hyper_.feed_forward, &w.up}}, hyper_.dim));
      RETURN_IF_ERROR(plan.Matrix(prefix + "ffn_down.weight", hyper_.dim, hyper_.feed_forward, &w.down));
      RETURN_IF_ERROR(DeclareNormsBefore(plan, layer));
    }
    scale_ = 1.f / std::sqrt(static_cast<float>(hyper_.head_dim));
    return DeclareRope(file, plan);
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
  Status DeclareRope(const format::ModelFile& file, WeightPlan& plan) {
    auto frequencies = InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor);
    double magnitude = 1.0;
    if (file.Find("rope_factors_short.weight") != nullptr) {
      RETURN_IF_ERROR(
          ApplyRopeFactors(file, plan, "rope_factors_short.weight", hyper_.rope_dim, frequencies));
      plan.Known("rope_factors_long.weight");
      auto original = IntKey(file.metadata(), "phi3.rope.scaling.original_context_length", 1, kContextMax);
      RETURN_IF_ERROR(original.status());
      auto factor = FloatKey(file.metadata(), "phi3.rope.scaling.attn_factor", 0.01, kMagnitudeMax, 1.0);
      RETURN_IF_ERROR(factor.status());
      hyper_.context = std::min(hyper_.context, *original);
      magnitude = *factor;
    }
    rope_.emplace(std::move(frequencies), kContextMax, magnitude);
    return OkStatus();
  }

  std::optional<nn::RopeTable> rope_;
  float scale_ = 1.f;
};

}  // namespace

std::unique_ptr<Decoder> MakePhi3() { return std::make_unique<Phi3>(); }

}  // namespace pelton::models
