// Gemma 3, text only: norms before and after each block, QK norm, five layers of local attention
// (rope base 10,000) to each one that sees everything (the file's base and scaling), embeddings
// scaled by sqrt(dim). The 1 of Gemma's (1 + weight) norms is already in the file.
// Source: Gemma Team 2025, section 2; the GGUF specification.
#include <cmath>
#include <optional>

#include "models/decoder.h"

namespace pelton::models {
namespace {

constexpr double kLocalRopeBase = 10000.0;
constexpr int kPatternMax = 64;
constexpr int kDefaultPattern = 6;  // every sixth layer is global
// The 27B model scales queries by its dim / heads and not by the width of a head; nothing in the
// file says so, and no other size has this many layers.
constexpr int kLayersOf27B = 62;

class Gemma3 final : public Decoder {
 public:
  Gemma3() {
    // generation_config of the published models.
    family_sampling_ = {.temperature = 1.f, .top_p = 0.95f, .min_p = std::nullopt,
                        .repetition_penalty = std::nullopt, .top_k = 64};
  }

 protected:
  Status Declare(const format::ModelFile& file, WeightPlan& plan) override {
    for (int layer = 0; layer < hyper_.layers; ++layer) {
      RETURN_IF_ERROR(DeclareLayer(plan, layer));
      RETURN_IF_ERROR(DeclareQkNorms(plan, layer, hyper_.head_dim, hyper_.head_dim));
      RETURN_IF_ERROR(DeclareNormsAfter(plan, layer));
    }
    auto pattern = IntKey(file.metadata(), "gemma3.attention.sliding_window_pattern", 1,
                          kPatternMax, kDefaultPattern);
    RETURN_IF_ERROR(pattern.status());
    pattern_ = *pattern;
    global_rope_.emplace(
        InverseFrequencies(hyper_.rope_base, hyper_.rope_dim, hyper_.rope_divisor), kContextMax);
    local_rope_.emplace(InverseFrequencies(kLocalRopeBase, hyper_.rope_dim, 1.0), kContextMax);
    embedding_scale_ = std::sqrt(static_cast<float>(hyper_.dim));
    const int query_width =
        hyper_.layers == kLayersOf27B ? hyper_.dim / hyper_.heads : hyper_.head_dim;
    scale_ = 1.f / std::sqrt(static_cast<float>(query_width));
    return OkStatus();
  }

  void RunLayer(int layer) override {
    const DecoderLayer& w = layers_[static_cast<size_t>(layer)];
    const bool global = (layer + 1) % pattern_ == 0;
    Normalise(w.attention_norm);
    ProjectQkv(w);
    NormaliseHeads(w);
    Rotate(global ? *global_rope_ : *local_rope_, kernels::RopeStyle::kHalves);
    Attend(layer, global ? 0 : hyper_.window, scale_);
    ProjectOut(w.o);
    NormaliseOutput(w.post_attention_norm);
    AddToResidual();
    Normalise(w.ffn_norm);
    FeedForward(w, nn::Gate::kGeluTanh);
    NormaliseOutput(w.post_ffn_norm);
    AddToResidual();
  }

 private:
  std::optional<nn::RopeTable> global_rope_, local_rope_;
  int pattern_ = kDefaultPattern;
  float scale_ = 1.f;
};

}  // namespace

std::unique_ptr<Decoder> MakeGemma3() { return std::make_unique<Gemma3>(); }

}  // namespace pelton::models
