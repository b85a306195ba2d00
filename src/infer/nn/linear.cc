#include "nn/linear.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/checked.h"
#include "tensor/quantize.h"

namespace pelton::nn {
namespace {

// Rows below which quantising on the calling thread is cheaper than waking the team.
constexpr int kQuantizeGrain = 8;
// Panels a thread should find in one product, several times over, so that a thread that loses its
// core leaves little behind.
constexpr int kPiecesPerThread = 6;
// Rows a thread has at least when products are cut by rows (below that, unpacking by each thread costs more
// than lines from the other's cache: at 208 rows 10 %), and what these are a multiple of.
constexpr int kRowsToCut = 128;
constexpr int kRowGrain = 32;

uint64_t RowBytesOf(tensor::DType dtype, int inputs) {
  const tensor::DTypeInfo& info = tensor::InfoOf(dtype);
  return static_cast<uint64_t>(inputs) / info.block_elems * info.block_bytes;
}

}  // namespace

Result<WeightArena> WeightArena::Create(uint64_t bytes) {
  WeightArena arena;
  const auto whole = CheckedAlignUp<uint64_t>(bytes, 4096);  // Whole()
  if (!whole) return ResourceExhausted("the weights are larger than any memory");
  Result<HugeBuffer> buffer = HugeBuffer::Allocate(*whole);
  if (!buffer.ok()) return buffer.status();
  arena.buffer_ = std::move(*buffer);
  return arena;
}

std::byte* WeightArena::Take(uint64_t bytes) {
  const uint64_t rounded = Rounded(bytes);
  CHECK(rounded <= buffer_.size() - used_, "more weights than were planned");
  std::byte* taken = buffer_.data() + used_;
  used_ += rounded;
  return taken;
}

Linear Linear::Plan(tensor::DType dtype, int outputs, int inputs) {
  CHECK(outputs >= 1 && outputs <= kDimMax && inputs >= 1 && inputs <= kDimMax &&
            static_cast<uint32_t>(inputs) % tensor::InfoOf(dtype).block_elems == 0,
        "the loader checks shapes");
  Linear linear;
  linear.dtype_ = dtype;
  linear.packed_ = kernels::PackPlan(dtype, outputs, inputs);
  return linear;
}

uint64_t Linear::PackedBytes() const { return kernels::PackedBytes(packed_); }

void Linear::Adopt(const std::byte* data, float post_scale) {
  packed_.data = data;
  packed_.post_scale = post_scale;
}

// Rows of floats of one panel in dtype_.
std::vector<std::byte> Linear::Quantized(tensor::DType source, const std::byte* rows,
                                         int panel) const {
  const uint64_t source_bytes = RowBytesOf(source, inputs());
  const uint64_t row_bytes = RowBytesOf(dtype_, inputs());
  const int count = std::min(kernels::kPanelCols, outputs() - panel * kernels::kPanelCols);
  std::vector<float> values(static_cast<size_t>(inputs()));
  std::vector<std::byte> quantized(row_bytes * static_cast<uint64_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto row = static_cast<uint64_t>(panel * kernels::kPanelCols + i);
    tensor::DequantizeRow(source, rows + row * source_bytes, inputs(), values.data());
    tensor::QuantizeRow(dtype_, values.data(), inputs(),
                        quantized.data() + static_cast<uint64_t>(i) * row_bytes);
  }
  return quantized;
}

void Linear::PackQuantized(tensor::DType source, const std::byte* rows, int panel,
                           std::byte* dst) const {
  kernels::PackedMatrix one = packed_;
  one.n = std::min(kernels::kPanelCols, outputs() - panel * kernels::kPanelCols);
  kernels::PackPanels(one, dtype_, Quantized(source, rows, panel).data(), 0, 1,
                      dst + static_cast<uint64_t>(panel) * kernels::PackedBytes(one));
}

// The scale of the whole matrix, before any panel is packed. What is quantised while packing is
// quantised twice for it.
float Linear::ScaleOf(tensor::DType source, const std::byte* rows, Team& team) const {
  const uint64_t row_bytes = RowBytesOf(dtype_, inputs());
  const int panels = packed_.panels();
  std::vector<float> scales(static_cast<size_t>(panels));
  team.ParallelFor(panels, 16, [&](int64_t begin, int64_t end, int) {
    for (auto p = static_cast<int>(begin); p < end; ++p) {
      const int first = p * kernels::kPanelCols;
      const int count = std::min(kernels::kPanelCols, outputs() - first);
      scales[static_cast<size_t>(p)] =
          source == dtype_
              ? kernels::PackScale(dtype_, rows + static_cast<uint64_t>(first) * row_bytes, count,
                                   inputs())
              : kernels::PackScale(dtype_, Quantized(source, rows, p).data(), count, inputs());
    }
  });
  return *std::max_element(scales.begin(), scales.end());
}

void Linear::Pack(tensor::DType source, const std::byte* rows, std::byte* dst, Team& team,
                  const std::function<void(uint64_t source_bytes)>& progress) {
  const uint64_t row_bytes = RowBytesOf(source, inputs());
  const int panels = packed_.panels();
  const bool quantize = source != dtype_;
  packed_.post_scale = ScaleOf(source, rows, team);
  // In strides, so that progress is told while a large matrix is packed.
  constexpr int kStride = 1024;
  for (int panel = 0; panel < panels; panel += kStride) {
    const int count = std::min(kStride, panels - panel);
    team.ParallelFor(count, 4, [&](int64_t begin, int64_t end, int) {
      const int first = panel + static_cast<int>(begin), last = panel + static_cast<int>(end);
      if (!quantize) kernels::PackPanels(packed_, dtype_, rows, first, last, dst);
      for (int p = first; quantize && p < last; ++p) PackQuantized(source, rows, p, dst);
    });
    if (!progress) continue;
    const int done = std::min(outputs(), (panel + count) * kernels::kPanelCols);
    progress(static_cast<uint64_t>(done - panel * kernels::kPanelCols) * row_bytes);
  }
  packed_.data = dst;
}

Result<Activations> Activations::Create(const kernels::KernelTable& table, int rows_max,
                                        int inputs_max, bool batch_invariant) {
  Activations activations;
  activations.table_ = activations.chosen_ = &table;
  size_t row_bytes = table.quantized_row_bytes(inputs_max);
  if (!batch_invariant && table.few_rows != nullptr) {
    activations.few_rows_max_ = table.few_rows_max;
    row_bytes = std::max(row_bytes, table.few_rows->quantized_row_bytes(inputs_max));
  }
  activations.rows_max_ = rows_max;
  activations.inputs_max_ = inputs_max;
  const auto bytes = CheckedMul<uint64_t>(row_bytes,
                                          static_cast<uint64_t>(kernels::PaddedRows(rows_max)));
  if (!bytes) return ResourceExhausted("activations of too many rows");
  Result<HugeBuffer> buffer = HugeBuffer::Allocate(*bytes);
  if (!buffer.ok()) return buffer.status();
  activations.buffer_ = std::move(*buffer);
  return activations;
}

void Activations::Load(Team& team, const float* x, int64_t ldx, int rows, int inputs) {
  CHECK(rows >= 0 && rows <= rows_max_ && inputs <= inputs_max_, "activations overrun");
  x_ = x;
  ldx_ = ldx;
  rows_ = rows;
  inputs_ = inputs;
  chosen_ = rows <= few_rows_max_ ? table_->few_rows : table_;
  const kernels::KernelTable& table = *chosen_;
  row_bytes_ = table.quantized_row_bytes(inputs);
  team.ParallelFor(rows, kQuantizeGrain, [&](int64_t begin, int64_t end, int) {
    table.quantize_rows(x + begin * ldx, ldx, static_cast<int>(end - begin), inputs,
                        quantized(static_cast<int>(begin)));
  });
}

void Activations::Make(int rows, int inputs) {
  CHECK(rows >= 0 && rows <= rows_max_ && inputs <= inputs_max_, "activations overrun");
  chosen_ = table_;
  x_ = nullptr;
  rows_ = rows;
  inputs_ = inputs;
  row_bytes_ = chosen_->quantized_row_bytes(inputs);
}

namespace {

// How rows × panels of a product are cut. Few rows: by panels. Many: also by rows, one block a thread, as
// the operations between products cut them, so that a thread finds its rows in its own cache; pieces are
// numbered row block by row block, and who is done early helps with panels of the other's.
struct Cut {
  int64_t row_block;
  int64_t panels, panel_chunk, chunks;
  int rows;

  int64_t pieces() const { return (rows + row_block - 1) / row_block * chunks; }
  int RowBegin(int64_t piece) const { return static_cast<int>(piece / chunks * row_block); }
  int Rows(int64_t piece) const {
    return static_cast<int>(std::min<int64_t>(row_block, rows - RowBegin(piece)));
  }
  int64_t PanelBegin(int64_t piece) const { return piece % chunks * panel_chunk; }
  int64_t PanelEnd(int64_t piece) const { return std::min(panels, PanelBegin(piece) + panel_chunk); }
};

Cut CutOf(const Team& team, int rows, int64_t panels) {
  const auto threads = static_cast<int64_t>(team.active());
  const bool by_rows = rows >= kRowsToCut * threads;
  Cut cut = {.row_block = rows, .panels = panels, .panel_chunk = 0, .chunks = 0, .rows = rows};
  if (by_rows) cut.row_block = ((rows + threads - 1) / threads + kRowGrain - 1) / kRowGrain * kRowGrain;
  const int64_t pieces = kPiecesPerThread * (by_rows ? 1 : threads);
  // Even, for kernels that take panels in pairs, and because two panels share a line of what they write.
  cut.panel_chunk = std::max<int64_t>(2, (panels / pieces + 1) / 2 * 2);
  cut.chunks = (panels + cut.panel_chunk - 1) / cut.panel_chunk;
  return cut;
}

void MultiplyPiece(const Activations& x, std::span<const Product> products, const Cut& cut, int64_t piece) {
  const kernels::KernelTable& table = x.table();
  const int row = cut.RowBegin(piece), rows = cut.Rows(piece);
  const int64_t begin = cut.PanelBegin(piece), end = cut.PanelEnd(piece);
  int64_t base = 0;  // panels of all products are numbered through; a piece may span two of them
  for (const Product& product : products) {
    const kernels::PackedMatrix& w = product.weight->matrix();
    const auto first = static_cast<int>(std::max<int64_t>(begin - base, 0));
    const auto last = static_cast<int>(std::min<int64_t>(end - base, w.panels()));
    base += w.panels();
    if (first >= last) continue;
    float* y = product.y + row * product.ldy;
    if (table.takes_quantized(w)) {
      table.gemm_int(w, x.quantized(row), rows, y, product.ldy, first, last);
    } else {
      table.gemm_float(w, x.floats() + row * x.stride(), x.stride(), rows, y, product.ldy, first, last);
    }
  }
}

}  // namespace

void Multiply(Team& team, const Activations& x, std::span<const Product> products) {
  if (x.rows() == 0) return;
  int64_t panels = 0;
  for (const Product& product : products) {
    CHECK(product.weight->inputs() == x.inputs() && product.weight->packed(),
          "a product of other inputs");
    panels += product.weight->matrix().panels();
  }
  const Cut cut = CutOf(team, x.rows(), panels);
  team.ParallelFor(cut.pieces(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) MultiplyPiece(x, products, cut, i);
  });
}

bool CanGate(const Activations& x, const Linear& gate, const Linear& up, const Linear& down) {
  const kernels::KernelTable& table = x.table();
  return table.gates != nullptr && table.gates(gate.matrix(), up.matrix()) &&
         table.takes_quantized(down.matrix());
}

void MultiplyGated(Team& team, const Activations& x, const Linear& gate, const Linear& up, bool gelu,
                   Activations& out) {
  out.Make(x.rows(), gate.outputs());
  if (x.rows() == 0) return;
  const Cut cut = CutOf(team, x.rows(), gate.matrix().panels());
  team.ParallelFor(cut.pieces(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int row = cut.RowBegin(i);
      x.table().gemm_gated(gate.matrix(), up.matrix(), x.quantized(row), cut.Rows(i), gelu, out.quantized(row),
                           static_cast<int>(cut.PanelBegin(i)), static_cast<int>(cut.PanelEnd(i)));
    }
  });
}

}  // namespace pelton::nn
