#include "models/decoder.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/assert.h"
#include "base/checked.h"
#include "base/cpu.h"
#include "format/gguf.h"

namespace pelton::models {
namespace {

constexpr int kEmbedGrain = 8;  // rows of the embedding looked up at a time

// The two tables of rotary embedding that a family may have: cos and sin of rope_dim / 2 angles each.
constexpr uint64_t kRopeTablesMax = 2;

}  // namespace

Status Decoder::DeclareLayer(WeightPlan& plan, int layer) {
  RETURN_IF_ERROR(DeclareMatrices(plan, layer));
  return DeclareNormsBefore(plan, layer);
}

Status Decoder::DeclareMatrices(WeightPlan& plan, int layer) {
  DecoderLayer& w = layers_[static_cast<size_t>(layer)];
  const Hyper& h = hyper_;
  const std::string prefix = fmt::format("blk.{}.", layer);
  struct Matrix {
    const char* name;
    int outputs, inputs;
    nn::Linear* slot;
  };
  for (const Matrix& m : {Matrix{"attn_q", h.q_width(), h.dim, &w.q},
                          Matrix{"attn_k", h.kv_width(), h.dim, &w.k},
                          Matrix{"attn_v", h.kv_width(), h.dim, &w.v},
                          Matrix{"attn_output", h.dim, h.q_width(), &w.o},
                          Matrix{"ffn_gate", h.feed_forward, h.dim, &w.gate},
                          Matrix{"ffn_up", h.feed_forward, h.dim, &w.up},
                          Matrix{"ffn_down", h.dim, h.feed_forward, &w.down}}) {
    RETURN_IF_ERROR(plan.Matrix(prefix + m.name + ".weight", m.outputs, m.inputs, m.slot));
  }
  return OkStatus();
}

Status Decoder::DeclareNormsBefore(WeightPlan& plan, int layer) {
  DecoderLayer& w = layers_[static_cast<size_t>(layer)];
  const std::string prefix = fmt::format("blk.{}.", layer);
  RETURN_IF_ERROR(plan.Vector(prefix + "attn_norm.weight", hyper_.dim, &w.attention_norm));
  return plan.Vector(prefix + "ffn_norm.weight", hyper_.dim, &w.ffn_norm);
}

Status Decoder::DeclareNormsAfter(WeightPlan& plan, int layer) {
  DecoderLayer& w = layers_[static_cast<size_t>(layer)];
  const std::string prefix = fmt::format("blk.{}.", layer);
  RETURN_IF_ERROR(plan.Vector(prefix + "post_attention_norm.weight", hyper_.dim, &w.post_attention_norm));
  return plan.Vector(prefix + "post_ffw_norm.weight", hyper_.dim, &w.post_ffn_norm);
}

Status Decoder::DeclareQkNorms(WeightPlan& plan, int layer, int q_width, int k_width) {
  DecoderLayer& w = layers_[static_cast<size_t>(layer)];
  const std::string prefix = fmt::format("blk.{}.", layer);
  RETURN_IF_ERROR(plan.Vector(prefix + "attn_q_norm.weight", q_width, &w.q_norm));
  return plan.Vector(prefix + "attn_k_norm.weight", k_width, &w.k_norm);
}

Status Decoder::DeclareAll(const format::ModelFile& file, WeightPlan& plan) {
  RETURN_IF_ERROR(plan.Matrix("token_embd.weight", hyper_.vocab, hyper_.dim, &embedding_));
  if (file.Find("output.weight") != nullptr) {
    RETURN_IF_ERROR(plan.Matrix("output.weight", hyper_.vocab, hyper_.dim, &head_));
  }
  RETURN_IF_ERROR(plan.Vector("output_norm.weight", hyper_.dim, &output_norm_));
  RETURN_IF_ERROR(Declare(file, plan));
  return plan.RefuseUnknown();
}

Status Decoder::Load(Decoder& model, const format::ModelFile& file, const LoadOptions& options,
                     nn::Team& team) {
  CHECK(options.table != nullptr, "LoadModel needs a kernel table");
  auto architecture = file.metadata().String("general.architecture");
  RETURN_IF_ERROR(architecture.status());
  auto hyper = ReadHyper(file, *architecture);
  RETURN_IF_ERROR(hyper.status());
  model.hyper_ = *hyper;
  model.table_ = options.table;
  model.batch_invariant_ = options.batch_invariant;
  model.layers_.resize(static_cast<size_t>(hyper->layers));
  WeightPlan plan(file, options.quantize);
  RETURN_IF_ERROR(model.DeclareAll(file, plan));
  auto sampling = ReadSamplingDefaults(file.metadata(), model.family_sampling_);
  RETURN_IF_ERROR(sampling.status());
  auto name = file.metadata().StringOr("general.name", "");
  RETURN_IF_ERROR(name.status());

  RETURN_IF_ERROR(model.TakeMemory(options.memory, plan.packed_bytes()));
  RETURN_IF_ERROR(model.MakeWeights(file, plan, options, team));
  if (!model.head_.packed()) model.head_ = model.embedding_;
  RETURN_IF_ERROR(model.MakeBuffers(kRowsMax));
  model.info_ = {
      .architecture = std::string(*architecture),
      .name = format::ShownName(*name),
      .quantization = plan.CommonestType(),
      .vocab_size = hyper->vocab,
      .context_length = model.hyper_.context,
      .layers = hyper->layers,
      .parameters = plan.parameters(),
      .weight_bytes = plan.packed_bytes(),
      .weights_from_cache = options.packed != nullptr && !model.image_,
      .kv_block_bytes = kernels::KvBlockBytes(hyper->kv_heads, hyper->head_dim),
      .position_bytes =
          kRopeTablesMax * static_cast<uint64_t>(hyper->rope_dim) * sizeof(float),
      .sampling = *sampling,
  };
  return OkStatus();
}

Status Decoder::TakeMemory(const MemoryShare& memory, uint64_t weight_bytes) {
  const auto needed = CheckedAdd(weight_bytes, BufferBytes(kRowsMax));
  if (!needed) return ResourceExhausted("the weights are larger than any memory");
  // The budget says what is ours to take, the machine whether it is still there.
  const uint64_t available = ReadMemoryState().available_bytes;
  if (*needed > available) {
    return ResourceExhausted(fmt::format("the model needs {} of memory, {} are available",
                                         MiBText(*needed), MiBText(available)));
  }
  auto weights = memory.Take("weights", weight_bytes);
  RETURN_IF_ERROR(weights.status());
  auto buffers = memory.Take("buffers", BufferBytes(kRowsMax));
  RETURN_IF_ERROR(buffers.status());
  weights_hold_ = *std::move(weights);
  buffers_hold_ = *std::move(buffers);
  return OkStatus();
}

// From the cache, or packed; then image_ says what the cache may keep.
Status Decoder::MakeWeights(const format::ModelFile& file, const WeightPlan& plan,
                            const LoadOptions& options, nn::Team& team) {
  auto arena = nn::WeightArena::Create(plan.packed_bytes());
  RETURN_IF_ERROR(arena.status());
  arena_ = *std::move(arena);
  // Models that run take their steps between the pieces of this.
  nn::Team::Turn turn(team);
  const auto progress = [&](uint64_t done, uint64_t total) {
    turn.Yield();
    if (options.progress) options.progress(done, total);
  };
  if (options.packed == nullptr) return plan.Pack(arena_, team, progress);
  PackedImage image = PackedCache::Describe(plan, file);
  std::vector<float> scales;
  if (options.packed->Load(image, arena_.Whole(), team, [&] { turn.Yield(); })) {
    for (const format::PackedSection& s : image.head.sections) scales.push_back(s.post_scale);
    plan.Adopt(arena_, scales);
    return OkStatus();
  }
  arena_ = nn::WeightArena();  // Load may have left anything
  auto fresh = nn::WeightArena::Create(plan.packed_bytes());
  RETURN_IF_ERROR(fresh.status());
  arena_ = *std::move(fresh);
  RETURN_IF_ERROR(plan.Pack(arena_, team, progress));
  const std::vector<WeightPlan::Section> sections = plan.Sections();
  for (size_t i = 0; i < sections.size(); ++i) {
    image.head.sections[i].post_scale = sections[i].matrix.post_scale;
  }
  image.body = arena_.Whole();
  image_ = std::move(image);
  return OkStatus();
}

uint64_t Decoder::BufferBytes(int rows) const {
  const Hyper& h = hyper_;
  const uint64_t row_floats =
      2 * static_cast<uint64_t>(h.dim) + 2 * static_cast<uint64_t>(h.q_width()) +
      2 * static_cast<uint64_t>(h.kv_width()) + 2 * static_cast<uint64_t>(h.feed_forward);
  const size_t quantised = table_->quantized_row_bytes(
      std::max({h.dim, h.q_width(), h.feed_forward}));
  const size_t gated = table_->gates == nullptr ? 0 : table_->quantized_row_bytes(h.feed_forward);
  return static_cast<uint64_t>(rows) * (row_floats * sizeof(float) + quantised + gated);
}

Status Decoder::MakeBuffers(int rows) {
  const Hyper& h = hyper_;
  const std::array<std::pair<float**, int>, 8> parts = {{{&x_, h.dim}, {&h_, h.dim},
                                                         {&q_, h.q_width()}, {&k_, h.kv_width()},
                                                         {&v_, h.kv_width()}, {&a_, h.q_width()},
                                                         {&gate_, h.feed_forward},
                                                         {&up_, h.feed_forward}}};
  uint64_t bytes = 0;
  for (const auto& [slot, width] : parts) {
    bytes += nn::WeightArena::Rounded(static_cast<uint64_t>(width) * rows * sizeof(float));
  }
  auto buffer = HugeBuffer::Allocate(bytes);
  RETURN_IF_ERROR(buffer.status());
  buffer_ = *std::move(buffer);
  std::byte* next = buffer_.data();
  for (const auto& [slot, width] : parts) {
    *slot = reinterpret_cast<float*>(next);
    next += nn::WeightArena::Rounded(static_cast<uint64_t>(width) * rows * sizeof(float));
  }
  auto activations = nn::Activations::Create(
      *table_, rows, std::max({h.dim, h.q_width(), h.feed_forward}), batch_invariant_);
  RETURN_IF_ERROR(activations.status());
  activations_ = *std::move(activations);
  if (table_->gates != nullptr) {
    auto gated = nn::Activations::Create(*table_, rows, h.feed_forward);
    RETURN_IF_ERROR(gated.status());
    gated_ = *std::move(gated);
  }
  return OkStatus();
}

void Decoder::Forward(const BatchView& batch, kv::KvStorage& kv, nn::Team& team,
                      std::span<float> logits) {
  CHECK(batch.tokens.size() <= static_cast<size_t>(kRowsMax), "more rows than MaxRows()");
  CHECK(logits.size() >= batch.logit_rows.size() * static_cast<size_t>(hyper_.vocab),
        "logits are smaller than logit_rows x vocab");
  rows_ = static_cast<int>(batch.tokens.size());
  const bool few = !batch_invariant_ && table_->few_rows != nullptr && rows_ <= table_->few_rows_max;
  step_table_ = few ? table_->few_rows : table_;
  logit_rows_ = batch.logit_rows;
  kv_ = &kv;
  team_ = &team;
  spans_.clear();
  for (const SequenceRows& s : batch.sequences) {
    spans_.push_back({.row_begin = s.row_begin, .rows = s.rows, .position = s.position,
                      .block_table = s.block_table.data()});
  }
  Embed(batch.tokens);
  for (int layer = 0; layer < hyper_.layers; ++layer) RunLayer(layer);
  if (rows_ > 0) ComputeLogits(logits);
}

void Decoder::Embed(std::span<const int32_t> tokens) {
  team_->ParallelFor(rows_, kEmbedGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      DCHECK(tokens[r] >= 0 && tokens[r] < hyper_.vocab, "token outside the vocabulary");
      float* row = x_ + r * hyper_.dim;
      embedding_.UnpackRow(tokens[r], row);
      if (embedding_scale_ != 1.f) step_table_->scale(embedding_scale_, hyper_.dim, row);
    }
  });
}

void Decoder::Normalise(const float* weight) {
  nn::RmsNormRows(*step_table_, *team_, x_, hyper_.dim, weight, hyper_.rms_eps, rows_, hyper_.dim, h_,
                  hyper_.dim);
}

void Decoder::UseResidual() { std::copy_n(x_, int64_t{rows_} * hyper_.dim, h_); }

void Decoder::NormaliseOutput(const float* weight) {
  nn::RmsNormRows(*step_table_, *team_, h_, hyper_.dim, weight, hyper_.rms_eps, rows_, hyper_.dim, h_,
                  hyper_.dim);
}

void Decoder::ProjectQkv(const DecoderLayer& layer) {
  activations_.Load(*team_, h_, hyper_.dim, rows_, hyper_.dim);
  const std::array<nn::Product, 3> products = {{{&layer.q, q_, hyper_.q_width()},
                                                {&layer.k, k_, hyper_.kv_width()},
                                                {&layer.v, v_, hyper_.kv_width()}}};
  nn::Multiply(*team_, activations_, products);
  struct Bias {
    const float* bias;
    int width;
    float* rows;
  };
  for (const Bias& b : {Bias{layer.q_bias, hyper_.q_width(), q_}, Bias{layer.k_bias, hyper_.kv_width(), k_},
                        Bias{layer.v_bias, hyper_.kv_width(), v_}}) {
    if (b.bias != nullptr) {
      nn::AddRows(*step_table_, *team_, b.bias, 0, rows_, b.width, b.rows, b.width);
    }
  }
}

void Decoder::NormaliseQk(const DecoderLayer& layer) {
  nn::RmsNormRows(*step_table_, *team_, q_, hyper_.q_width(), layer.q_norm, hyper_.rms_eps, rows_,
                  hyper_.q_width(), q_, hyper_.q_width());
  nn::RmsNormRows(*step_table_, *team_, k_, hyper_.kv_width(), layer.k_norm, hyper_.rms_eps, rows_,
                  hyper_.kv_width(), k_, hyper_.kv_width());
}

void Decoder::NormaliseHeads(const DecoderLayer& layer) {
  nn::RmsNormHeads(*step_table_, *team_, q_, hyper_.q_width(), rows_, hyper_.heads, hyper_.head_dim,
                   layer.q_norm, hyper_.rms_eps);
  nn::RmsNormHeads(*step_table_, *team_, k_, hyper_.kv_width(), rows_, hyper_.kv_heads, hyper_.head_dim,
                   layer.k_norm, hyper_.rms_eps);
}

void Decoder::Rotate(nn::RopeTable& rope, kernels::RopeStyle style) {
  nn::RopeRows(*step_table_, *team_, rope, style, spans_, q_, hyper_.q_width(), hyper_.heads,
               hyper_.head_dim);
  nn::RopeRows(*step_table_, *team_, rope, style, spans_, k_, hyper_.kv_width(), hyper_.kv_heads,
               hyper_.head_dim);
}

void Decoder::Attend(int layer, int window, float scale) {
  const nn::KvLayer kv_layer{.base = kv_->Layer(layer), .block_bytes = kv_->block_bytes(),
                             .kv_heads = hyper_.kv_heads, .head_dim = hyper_.head_dim};
  nn::WriteKvRows(*step_table_, *team_, spans_, k_, v_, hyper_.kv_width(), kv_layer);
  if (layer == hyper_.layers - 1) KeepLogitRows();
  if (rows_ == 0) return;
  const nn::AttentionShape shape{.heads = hyper_.heads, .window = window, .scale = scale,
                                 .softcap = attention_softcap_};
  nn::AttentionRows(*step_table_, *team_, attention_scratch_, spans_, shape, q_, hyper_.q_width(), kv_layer, a_,
                    hyper_.q_width());
}

// Moves the rows of x and q that logit_rows_ names to the front; spans_ then describes them.
void Decoder::KeepLogitRows() {
  kept_spans_.clear();
  const int64_t dim = hyper_.dim, q_width = hyper_.q_width();
  auto span = spans_.begin();
  for (size_t i = 0; i < logit_rows_.size(); ++i) {  // ascending, so that a row moves down or stays
    const int row = logit_rows_[i];
    while (row >= span->row_begin + span->rows) ++span;
    const int kept = static_cast<int>(i);
    if (row != kept) {
      std::copy_n(x_ + row * dim, dim, x_ + kept * dim);
      std::copy_n(q_ + row * q_width, q_width, q_ + kept * q_width);
    }
    const int position = span->position + row - span->row_begin;
    nn::RowSpan* last = kept_spans_.empty() ? nullptr : &kept_spans_.back();
    if (last != nullptr && last->block_table == span->block_table &&
        last->position + last->rows == position) {
      ++last->rows;
    } else {
      kept_spans_.push_back({.row_begin = kept, .rows = 1, .position = position,
                             .block_table = span->block_table});
    }
  }
  spans_.swap(kept_spans_);
  rows_ = static_cast<int>(logit_rows_.size());
}

void Decoder::ProjectOut(const nn::Linear& o) {
  if (rows_ == 0) return;
  activations_.Load(*team_, a_, hyper_.q_width(), rows_, hyper_.q_width());
  const std::array<nn::Product, 1> products = {{{&o, h_, hyper_.dim}}};
  nn::Multiply(*team_, activations_, products);
}

void Decoder::FeedForward(const DecoderLayer& layer, nn::Gate gate) {
  if (rows_ == 0) return;
  activations_.Load(*team_, h_, hyper_.dim, rows_, hyper_.dim);
  const std::array<nn::Product, 1> narrow = {{{&layer.down, h_, hyper_.dim}}};
  if (nn::CanGate(activations_, layer.gate, layer.up, layer.down)) {
    nn::MultiplyGated(*team_, activations_, layer.gate, layer.up, gate == nn::Gate::kGeluTanh, gated_);
    nn::Multiply(*team_, gated_, narrow);
    return;
  }
  const std::array<nn::Product, 2> wide = {{{&layer.gate, gate_, hyper_.feed_forward},
                                            {&layer.up, up_, hyper_.feed_forward}}};
  nn::Multiply(*team_, activations_, wide);
  nn::GateRows(*step_table_, *team_, gate, gate_, up_, hyper_.feed_forward, rows_, hyper_.feed_forward,
               gate_, hyper_.feed_forward);
  activations_.Load(*team_, gate_, hyper_.feed_forward, rows_, hyper_.feed_forward);
  nn::Multiply(*team_, activations_, narrow);
}

void Decoder::AddToResidual() {
  nn::AddRows(*step_table_, *team_, h_, hyper_.dim, rows_, hyper_.dim, x_, hyper_.dim);
}

void Decoder::ComputeLogits(std::span<float> logits) {
  Normalise(output_norm_);
  activations_.Load(*team_, h_, hyper_.dim, rows_, hyper_.dim);
  const std::array<nn::Product, 1> products = {{{&head_, logits.data(), hyper_.vocab}}};
  nn::Multiply(*team_, activations_, products);
  if (logits_softcap_ > 0.f) {
    nn::SoftCapRows(*step_table_, *team_, logits_softcap_, rows_, hyper_.vocab, logits.data(), hyper_.vocab);
  }
}

Status ApplyRopeFactors(const format::ModelFile& file, WeightPlan& plan, std::string_view name,
                        int rope_dim, std::vector<double>& inverse_frequency) {
  if (file.Find(name) == nullptr) return OkStatus();
  const std::array<int64_t, 1> shape = {rope_dim / 2};
  auto tensor = file.Require(name, shape);
  RETURN_IF_ERROR(tensor.status());
  if ((*tensor)->dtype != tensor::DType::kF32) {
    return InvalidArgument(fmt::format("tensor {} has type {}, not F32", name,
                                       tensor::InfoOf((*tensor)->dtype).name));
  }
  plan.Known(name);
  std::vector<float> factors(inverse_frequency.size());
  tensor::DequantizeRow(tensor::DType::kF32, (*tensor)->data.data(), shape[0], factors.data());
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!std::isfinite(factors[i]) || factors[i] <= 0.f) {
      return InvalidArgument(fmt::format("tensor {} holds {} at {}: not a divisor", name,
                                         factors[i], i));
    }
    inverse_frequency[i] /= factors[i];
  }
  return OkStatus();
}

}  // namespace pelton::models
