// Published model shapes: what a file of that model has for keys and tensors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "format/gguf_writer.h"
#include "tensor/dtype.h"

namespace pelton::generate {

struct Shape {
  std::string_view name;          // as given on the command line
  std::string_view architecture;  // "llama" or "gemma3"
  int64_t layers;
  int64_t width;  // of the residual stream
  int64_t ffn;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t vocab;
  int64_t context;
  double rope_base;
  double norm_epsilon;
  bool tied;                // the head is the embedding
  bool llama3_rope;         // has rope_freqs.weight, Llama 3.x's frequency factors
  int64_t sliding_window;   // 0 when every layer sees everything
};

std::span<const Shape> AllShapes();
Result<const Shape*> FindShape(std::string_view name);  // the error lists the names

// What a tensor is for decides how its numbers are drawn.
enum class Role { kMatrix, kResidualMatrix, kNorm, kRopeFactors };

struct TensorPlan {
  std::string name;
  tensor::DType dtype;
  std::vector<int64_t> shape;  // outermost first
  Role role;
};

// type: a tensor type ("Q4_0") or one of the mixes of llama.cpp's quantiser, Q4_K_M and Q5_K_M.
// Rows that a K type cannot hold get the type that quantiser falls back to. INVALID_ARGUMENT for an
// unknown type, with the names.
Result<std::vector<TensorPlan>> PlanTensors(const Shape& shape, std::string_view type);

// general.* and the architecture's own keys.
void SetShapeKeys(const Shape& shape, std::string_view type, format::GgufWriter* writer);

}  // namespace pelton::generate
