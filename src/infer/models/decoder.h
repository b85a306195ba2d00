// What decoder families share: weights of a layer, the buffers of a step, and the steps of a layer as
// one-line calls. A family's file declares its tensors and spells out the order of the steps.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"
#include "models/hyper.h"
#include "models/model.h"
#include "models/packed_cache.h"
#include "models/weights.h"
#include "nn/linear.h"
#include "nn/ops.h"

namespace pelton::models {

struct DecoderLayer {
  const float* attention_norm = nullptr;       // [dim]
  const float* q_norm = nullptr;               // [head_dim], or [q_width] where the whole row has one
  const float* k_norm = nullptr;               // [head_dim], or [kv_width]
  const float* q_bias = nullptr;               // [q_width], null when the family has none
  const float* k_bias = nullptr;               // [kv_width]
  const float* v_bias = nullptr;               // [kv_width]
  const float* post_attention_norm = nullptr;  // [dim], null when the family has none
  const float* ffn_norm = nullptr;             // [dim]
  const float* post_ffn_norm = nullptr;        // [dim]
  nn::Linear q, k, v, o;                       // [q_width | kv_width, dim], [dim, q_width]
  nn::Linear gate, up, down;                   // [feed_forward, dim], [dim, feed_forward]
};

class Decoder : public Model {
 public:
  const ModelInfo& info() const override { return info_; }
  const PackedImage* packed_image() const override { return image_ ? &*image_ : nullptr; }
  int MaxRows() const override { return kRowsMax; }
  void Forward(const BatchView& batch, kv::KvStorage& kv, nn::Team& team,
               std::span<float> logits) final;

  // Reads and checks everything, then packs. `model` is fresh; its family's Declare has been given
  // the chance to refuse.
  static Status Load(Decoder& model, const format::ModelFile& file, const LoadOptions& options,
                     nn::Team& team);

 protected:
  Decoder() = default;

  // The family's own hyper-parameters and tensors, beside those that every decoder has. Called once,
  // after hyper_ and layers_ have their sizes.
  virtual Status Declare(const format::ModelFile& file, WeightPlan& plan) = 0;
  // One layer on the rows of the present step: x_ in, x_ out.
  virtual void RunLayer(int layer) = 0;

  // Tensors under the names that families use: seven matrices and a norm before each half.
  Status DeclareLayer(WeightPlan& plan, int layer);
  Status DeclareMatrices(WeightPlan& plan, int layer);
  Status DeclareNormsBefore(WeightPlan& plan, int layer);
  // post_attention_norm and post_ffn_norm.
  Status DeclareNormsAfter(WeightPlan& plan, int layer);
  // q_norm of q_width and k_norm of k_width floats.
  Status DeclareQkNorms(WeightPlan& plan, int layer, int q_width, int k_width);

  // The steps. [rows, …] of the present step; `scratch` buffers are x_, h_ and those in Buffers.
  void Normalise(const float* weight);                           // h = norm(x)
  void NormaliseOutput(const float* weight);                     // h = norm(h)
  void UseResidual();                                            // h = x: no norm before
  void ProjectQkv(const DecoderLayer& layer);                    // q, k, v from h, biases added
  void NormaliseHeads(const DecoderLayer& layer);                // q and k, head by head
  void NormaliseQk(const DecoderLayer& layer);                   // q and k, whole rows
  void Rotate(nn::RopeTable& rope, kernels::RopeStyle style);    // q and k
  // Writes k and v, attends, q → a. In the last layer only the rows whose logits are asked for go on
  // from here: nothing reads the others.
  void Attend(int layer, int window, float scale);
  void ProjectOut(const nn::Linear& o);                          // h = o · a
  void FeedForward(const DecoderLayer& layer, nn::Gate gate);    // h = down · act(gate · h) up · h
  void AddToResidual();                                          // x += h

  Hyper hyper_;
  std::vector<DecoderLayer> layers_;
  float embedding_scale_ = 1.f;   // on embedded tokens
  float attention_softcap_ = 0.f;  // 0: none
  float logits_softcap_ = 0.f;
  SamplingDefaults family_sampling_;

 private:
  static constexpr int kRowsMax = 512;  // of a step; its buffers are sized for this

  Status DeclareAll(const format::ModelFile& file, WeightPlan& plan);
  Status TakeMemory(const MemoryShare& memory, uint64_t weight_bytes);
  Status MakeWeights(const format::ModelFile& file, const WeightPlan& plan,
                     const LoadOptions& options, nn::Team& team);
  Status MakeBuffers(int rows);
  uint64_t BufferBytes(int rows) const;
  void Embed(std::span<const int32_t> tokens);
  void KeepLogitRows();
  void ComputeLogits(std::span<float> logits);

  ModelInfo info_;
  MemoryBudget::Hold weights_hold_, buffers_hold_;
  const kernels::KernelTable* table_ = nullptr;
  nn::WeightArena arena_;
  std::optional<PackedImage> image_;
  nn::Linear embedding_, head_;  // [vocab, dim]; head_ is a copy of the view when they are tied
  const float* output_norm_ = nullptr;

  // Buffers of one step, carved from buffer_: [kRowsMax, …] floats.
  HugeBuffer buffer_;
  bool batch_invariant_ = true;
  const kernels::KernelTable* step_table_ = nullptr;  // of the running step
  nn::Activations activations_;
  nn::Activations gated_;  // of feed-forwards that are gated in one go
  nn::AttentionScratch attention_scratch_;
  float* x_ = nullptr;     // [rows, dim]: the residual stream
  float* h_ = nullptr;     // [rows, dim]
  float* q_ = nullptr;     // [rows, q_width]
  float* k_ = nullptr;     // [rows, kv_width]
  float* v_ = nullptr;     // [rows, kv_width]
  float* a_ = nullptr;     // [rows, q_width]
  float* gate_ = nullptr;  // [rows, feed_forward]
  float* up_ = nullptr;    // [rows, feed_forward]

  // The present step.
  int rows_ = 0;
  std::vector<nn::RowSpan> spans_;
  std::vector<nn::RowSpan> kept_spans_;  // of the rows that KeepLogitRows keeps
  std::span<const int32_t> logit_rows_;
  kv::KvStorage* kv_ = nullptr;
  nn::Team* team_ = nullptr;
};

// Divisors of the inverse frequencies from the tensor `name` [rope_dim / 2], applied in place when the
// file has it: rope_freqs.weight is Llama 3's rope scaling, computed by the converter.
Status ApplyRopeFactors(const format::ModelFile& file, WeightPlan& plan, std::string_view name,
                        int rope_dim, std::vector<double>& inverse_frequency);

// One line a family in registry.cc.
std::unique_ptr<Decoder> MakeLlama();
std::unique_ptr<Decoder> MakeGemma2();
std::unique_ptr<Decoder> MakeGemma3();
std::unique_ptr<Decoder> MakeOlmo2();
std::unique_ptr<Decoder> MakePhi3();
std::unique_ptr<Decoder> MakeQwen2();
std::unique_ptr<Decoder> MakeQwen3();

}  // namespace pelton::models
