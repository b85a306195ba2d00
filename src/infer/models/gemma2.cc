// Gemma 2: norms before and after each half, attention in turns over a window and over everything,
// scores and logits capped by tanh, embeddings scaled by sqrt(dim). The 1 of Gemma's (1 + weight) norms
// is already in the file. Source: Gemma Team 2024, section 2; the GGUF specification.
#include <cmath>
#include <optional>

#include "models/decoder.h"

namespace pelton::models {
namespace {

constexpr double kCapMax = 1e6;
// The 27B model scales queries by its dim / heads and not by the width of a head; nothing in the
// file says so, and no other size has this many layers.
constexpr int kLayersOf27B = 46;

class Gemma2 final : public Decoder {
 protected:
  Status Declare(const format::ModelFile& file, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      RETURN_IF_ERROR(DeclareLayer(plan, layer));
      RETURN_IF_ERROR(DeclareNormsAfter(plan, layer));
    }
    auto scores = FloatKey(file.metadata(), "gemma2.attn_logit_softcapping", 0.0, kCapMax, 50.0);
    RETURN_IF_ERROR(scores.status());
    auto logits = FloatKey(file.metadata(), "gemma2.final_logit_softcapping", 0.0, kCapMax, 30.0);
    RETURN_IF_ERROR(logits.status());
    attention_softcap_ = static_cast<float>(*scores);
    logits_softcap_ = static_cast<float>(*logits);
    rope_.emplace(InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor), kContextMax);
    embedding_scale_ = std::sqrt(static_cast<float>(hyper_.dim));
    const int query_width =
        hyper_.layers == kLayersOf27B ? hyper_.dim / hyper_.heads : hyper_.head_dim;
    scale_ = 1.f / std::sqrt(static_cast<float>(query_width));
    return OkStatus();
  }

  void RunLayer(int layer) override {
    const DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    Normalise(w.attention_norm);
    ProjectQkv(w);
    Rotate(*rope_, kernels::RopeStyle::kHalves);
    Attend(layer, layer % 2 == 0 ? hyper_.window : 0, scale_);
    ProjectOut(w.o);
    NormaliseOutput(w.post_attention_norm);
    AddToResidual();
    Normalise(w.ffn_norm);
    FeedForward(w, nn::Gate::kGeluTanh);
    NormaliseOutput(w.post_ffn_norm);
    AddToResidual();
  }

 private:
  std::optional<nn::RopeTable> rope_;
  float scale_ = 1.f;
};

}  // namespace

std::unique_ptr<Decoder> MakeGemma2() { return std::make_unique<Gemma2>(); }

}  // namespace pelton::models
