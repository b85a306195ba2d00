#include "generate/shapes.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>

namespace pelton::generate {
namespace {

using tensor::DType;

// From the published config.json of each model.
constexpr std::array<Shape, 9> kShapes = {{
    {"tiny", "llama", 2, 256, 512, 4, 2, 64, 512, 2048, 1e4, 1e-5, true, false, 0},
    {"tiny-gemma3", "gemma3", 6, 256, 512, 4, 1, 64, 512, 2048, 1e6, 1e-6, true, false, 64},
    {"smollm2-135m", "llama", 30, 576, 1536, 9, 3, 64, 49152, 8192, 1e5, 1e-5, true, false, 0},
    {"smollm2-360m", "llama", 32, 960, 2560, 15, 5, 64, 49152, 8192, 1e5, 1e-5, true, false, 0},
    {"llama-3.2-1b", "llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072, 5e5, 1e-5, true, true, 0},
    {"llama-3.2-3b", "llama", 28, 3072, 8192, 24, 8, 128, 128256, 131072, 5e5, 1e-5, true, true, 0},
    {"llama-3.1-8b", "llama", 32, 4096, 14336, 32, 8, 128, 128256, 131072, 5e5, 1e-5, false, true,
     0},
    {"gemma3-270m", "gemma3", 18, 640, 2048, 4, 1, 256, 262144, 32768, 1e6, 1e-6, true, false, 512},
    {"gemma3-1b", "gemma3", 26, 1152, 6912, 4, 1, 256, 262144, 32768, 1e6, 1e-6, true, false, 512},
}};

// A type as asked for: what most matrices get, what the sensitive half gets, and the number that
// files carry in general.file_type.
struct Recipe {
  std::string_view name;
  DType base;
  DType more;  // attn_v and ffn_down of the layers that the mix favours
  DType head;  // the output matrix
  uint64_t file_type;
};
constexpr std::array<Recipe, 15> kRecipes = {{
    {"F32", DType::kF32, DType::kF32, DType::kF32, 0},
    {"F16", DType::kF16, DType::kF16, DType::kF16, 1},
    {"Q4_0", DType::kQ4_0, DType::kQ4_0, DType::kQ6_K, 2},
    {"Q4_1", DType::kQ4_1, DType::kQ4_1, DType::kQ6_K, 3},
    {"Q8_0", DType::kQ8_0, DType::kQ8_0, DType::kQ8_0, 7},
    {"Q5_0", DType::kQ5_0, DType::kQ5_0, DType::kQ6_K, 8},
    {"Q5_1", DType::kQ5_1, DType::kQ5_1, DType::kQ6_K, 9},
    {"Q2_K", DType::kQ2_K, DType::kQ2_K, DType::kQ6_K, 10},
    {"Q3_K", DType::kQ3_K, DType::kQ3_K, DType::kQ6_K, 11},
    {"Q4_K", DType::kQ4_K, DType::kQ4_K, DType::kQ6_K, 14},
    {"Q4_K_M", DType::kQ4_K, DType::kQ6_K, DType::kQ6_K, 15},
    {"Q5_K", DType::kQ5_K, DType::kQ5_K, DType::kQ6_K, 16},
    {"Q5_K_M", DType::kQ5_K, DType::kQ6_K, DType::kQ6_K, 17},
    {"Q6_K", DType::kQ6_K, DType::kQ6_K, DType::kQ6_K, 18},
    {"BF16", DType::kBF16, DType::kBF16, DType::kBF16, 32},
}};

const Recipe* FindRecipe(std::string_view name) {
  for (const Recipe& recipe : kRecipes) {
    if (recipe.name == name) return &recipe;
  }
  return nullptr;
}

// Rows that are not whole super-blocks of 256 get a type of blocks of 32 of about the same size.
DType Fitting(DType type, int64_t inner) {
  if (tensor::RowBytes(type, static_cast<uint64_t>(inner))) return type;
  switch (type) {
    case DType::kQ2_K:
    case DType::kQ3_K: return DType::kQ4_0;
    case DType::kQ4_K: return DType::kQ5_0;
    case DType::kQ5_K: return DType::kQ5_1;
    case DType::kQ6_K: return DType::kQ8_0;
    default: return DType::kF16;
  }
}

// The layers that the K_M mixes favour: the first and last eighth, and every third between.
bool Favoured(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

class Planner {
 public:
  Planner(const Shape& shape, const Recipe& recipe) : s_(shape), recipe_(recipe) {}

  std::vector<TensorPlan> Plan() {
    Matrix("token_embd.weight", s_.tied ? recipe_.head : recipe_.base, s_.vocab, s_.width);
    if (s_.llama3_rope) {
      plan_.push_back({"rope_freqs.weight", DType::kF32, {s_.head_dim / 2}, Role::kRopeFactors});
    }
    for (int64_t i = 0; i < s_.layers; ++i) Layer(i);
    Norm("output_norm.weight", s_.width);
    if (!s_.tied) Matrix("output.weight", recipe_.head, s_.vocab, s_.width);
    return std::move(plan_);
  }

 private:
  void Layer(int64_t layer) {
    const std::string at = fmt::format("blk.{}.", layer);
    const DType base = recipe_.base;
    const DType more = Favoured(layer, s_.layers) ? recipe_.more : base;
    const bool gemma = s_.architecture == "gemma3";
    Norm(at + "attn_norm.weight", s_.width);
    Matrix(at + "attn_q.weight", base, s_.heads * s_.head_dim, s_.width);
    Matrix(at + "attn_k.weight", base, s_.kv_heads * s_.head_dim, s_.width);
    Matrix(at + "attn_v.weight", more, s_.kv_heads * s_.head_dim, s_.width);
    if (gemma) {
      Norm(at + "attn_q_norm.weight", s_.head_dim);
      Norm(at + "attn_k_norm.weight", s_.head_dim);
    }
    Matrix(at + "attn_output.weight", base, s_.width, s_.heads * s_.head_dim,
           Role::kResidualMatrix);
    if (gemma) Norm(at + "post_attention_norm.weight", s_.width);
    Norm(at + "ffn_norm.weight", s_.width);
    Matrix(at + "ffn_gate.weight", base, s_.ffn, s_.width);
    Matrix(at + "ffn_up.weight", base, s_.ffn, s_.width);
    Matrix(at + "ffn_down.weight", more, s_.width, s_.ffn, Role::kResidualMatrix);
    if (gemma) Norm(at + "post_ffw_norm.weight", s_.width);
  }

  void Matrix(std::string name, DType type, int64_t out, int64_t in, Role role = Role::kMatrix) {
    plan_.push_back({std::move(name), Fitting(type, in), {out, in}, role});
  }
  void Norm(std::string name, int64_t size) {
    plan_.push_back({std::move(name), DType::kF32, {size}, Role::kNorm});
  }

  const Shape& s_;
  const Recipe& recipe_;
  std::vector<TensorPlan> plan_;
};

}  // namespace

std::span<const Shape> AllShapes() { return kShapes; }

Result<const Shape*> FindShape(std::string_view name) {
  std::string names;
  for (const Shape& shape : kShapes) {
    if (shape.name == name) return &shape;
    names += (names.empty() ? "" : ", ") + std::string(shape.name);
  }
  return InvalidArgument(fmt::format("no shape '{}'; there are {}", name, names))
      .WithParam("shape");
}

Result<std::vector<TensorPlan>> PlanTensors(const Shape& shape, std::string_view type) {
  const Recipe* recipe = FindRecipe(type);
  if (recipe != nullptr) return Planner(shape, *recipe).Plan();
  std::string names;
  for (const Recipe& each : kRecipes) {
    names += (names.empty() ? "" : ", ") + std::string(each.name);
  }
  return InvalidArgument(fmt::format("no type '{}'; there are {}", type, names)).WithParam("type");
}

void SetShapeKeys(const Shape& s, std::string_view type, format::GgufWriter* writer) {
  const auto set = [&](std::string_view key, format::MetadataValue value) {
    writer->Set(fmt::format("{}.{}", s.architecture, key), std::move(value));
  };
  const auto whole = [](int64_t v) { return static_cast<uint64_t>(v); };
  writer->Set("general.architecture", s.architecture);
  writer->Set("general.type", std::string_view("model"));
  writer->Set("general.name", s.name);
  writer->Set("general.description", std::string_view("random weights, for measuring only"));
  set("block_count", whole(s.layers));
  set("context_length", whole(s.context));
  set("embedding_length", whole(s.width));
  set("feed_forward_length", whole(s.ffn));
  set("attention.head_count", whole(s.heads));
  set("attention.head_count_kv", whole(s.kv_heads));
  set("attention.key_length", whole(s.head_dim));
  set("attention.value_length", whole(s.head_dim));
  set("attention.layer_norm_rms_epsilon", s.norm_epsilon);
  set("rope.freq_base", s.rope_base);
  if (s.architecture == "llama") {
    set("rope.dimension_count", whole(s.head_dim));
    set("vocab_size", whole(s.vocab));
  }
  if (s.sliding_window != 0) set("attention.sliding_window", whole(s.sliding_window));
  if (const Recipe* recipe = FindRecipe(type)) writer->Set("general.file_type", recipe->file_type);
  writer->Set("general.quantization_version", uint64_t{2});
}

}  // namespace pelton::generate
