#include "nn/ops.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/assert.h"

namespace pelton::nn {
namespace {

// Rows a piece has at least: below two pieces the calling thread does all.
constexpr int kRowGrain = 8;
// Rows of one attention piece: its queries share the reading of keys and values.
constexpr int kAttentionRows = 32;
// Scores (rows · positions · query heads of a kv head) that are worth a piece of their own.
constexpr int64_t kAttentionPieceScores = 2048;

// Pieces for each worker below which the rows of a step are split by segments of positions.
constexpr int64_t kPiecesPerWorker = 8;

// What the operations on attention share.
struct AttentionWork {
  const kernels::KernelTable& table;
  std::span<const RowSpan> spans;
  const AttentionShape& shape;
  const float* q;
  int64_t ldq;
  const KvLayer& layer;
  float* out;
  int64_t ldo;

  kernels::AttentionArgs Args(const RowSpan& span, int row, int rows, int kv_head) const {
    return {.q = q + (span.row_begin + row) * ldq,
            .q_stride = ldq,
            .out = out + (span.row_begin + row) * ldo,
            .out_stride = ldo,
            .kv = layer.base,
            .block_bytes = layer.block_bytes,
            .block_table = span.block_table,
            .rows = rows,
            .position = span.position + row,
            .window = shape.window,
            .heads = shape.heads,
            .kv_heads = layer.kv_heads,
            .head_dim = layer.head_dim,
            .kv_head_begin = kv_head,
            .kv_head_end = kv_head + 1,
            .scale = shape.scale,
            .softcap = shape.softcap};
  }
};

// Rows of one, so few of them that their kv heads alone would not fill the team.
bool WorthSplitting(const AttentionWork& work, const Team& team) {
  const auto few = kPiecesPerWorker * static_cast<int64_t>(team.size());
  if (team.size() == 1 || static_cast<int64_t>(work.spans.size()) * work.layer.kv_heads >= few) {
    return false;
  }
  bool any = false;
  for (const RowSpan& span : work.spans) {
    if (span.rows != 1) return false;
    any = any || kernels::SegmentCount(span.position, work.shape.window) > 1;
  }
  return any;
}

// Pieces: (row, kv head, segment), then (row, kv head) to join them.
void AttendBySegments(const AttentionWork& work, Team& team, AttentionScratch& scratch) {
  const int kv_heads = work.layer.kv_heads;
  const size_t floats = static_cast<size_t>(work.shape.heads / kv_heads) *
                        kernels::AttentionPartFloats(work.layer.head_dim);
  int64_t pieces = 0;
  for (const RowSpan& span : work.spans) {
    pieces += int64_t{kernels::SegmentCount(span.position, work.shape.window)} * kv_heads;
  }
  float* parts = scratch.Take(floats * static_cast<size_t>(pieces));
  team.ParallelFor(pieces, 1, [&](int64_t begin, int64_t end, int) {
    int64_t base = 0;
    for (const RowSpan& span : work.spans) {
      const int64_t segments = kernels::SegmentCount(span.position, work.shape.window);
      const int first = kernels::FirstSegment(span.position, work.shape.window);
      for (int64_t i = std::max(begin, base); i < std::min(end, base + segments * kv_heads); ++i) {
        const int kv_head = static_cast<int>((i - base) / segments);
        work.table.attention_segment(work.Args(span, 0, 1, kv_head),
                                     first + static_cast<int>((i - base) % segments),
                                     parts + static_cast<size_t>(i) * floats);
      }
      base += segments * kv_heads;
    }
  });
  const auto joins = static_cast<int64_t>(work.spans.size()) * kv_heads;
  team.ParallelFor(joins, kRowGrain, [&](int64_t begin, int64_t end, int) {
    size_t base = 0;
    int64_t i = 0;
    for (const RowSpan& span : work.spans) {
      const int segments = kernels::SegmentCount(span.position, work.shape.window);
      for (int kv_head = 0; kv_head < kv_heads; ++kv_head, ++i, base += static_cast<size_t>(segments)) {
        if (i < begin || i >= end) continue;
        work.table.attention_join(work.Args(span, 0, 1, kv_head), segments, parts + base * floats);
      }
    }
  });
}

// Pieces: (span, tile of rows, kv head), numbered through; late rows first within a span would
// balance better, but the claims are dynamic and the tiles small.
void AttendByRows(const AttentionWork& work, Team& team) {
  const int kv_heads = work.layer.kv_heads;
  int64_t pieces = 0;
  int64_t scores = 0;
  for (const RowSpan& span : work.spans) {
    const int tiles = (span.rows + kAttentionRows - 1) / kAttentionRows;
    pieces += static_cast<int64_t>(tiles) * kv_heads;
    int64_t reach = span.position + span.rows;
    if (work.shape.window > 0) reach = std::min<int64_t>(reach, work.shape.window);
    scores += reach * span.rows * work.shape.heads;
  }
  const int64_t grain = std::clamp<int64_t>(
      pieces * kAttentionPieceScores / std::max<int64_t>(1, scores), 1, std::max<int64_t>(1, pieces));
  team.ParallelFor(pieces, grain, [&](int64_t begin, int64_t end, int) {
    int64_t base = 0;
    for (const RowSpan& span : work.spans) {
      const int tiles = (span.rows + kAttentionRows - 1) / kAttentionRows;
      const int64_t count = static_cast<int64_t>(tiles) * kv_heads;
      for (int64_t i = std::max(begin, base); i < std::min(end, base + count); ++i) {
        const int row = static_cast<int>((i - base) / kv_heads) * kAttentionRows;
        const int kv_head = static_cast<int>((i - base) % kv_heads);
        work.table.attention(
            work.Args(span, row, std::min(kAttentionRows, span.rows - row), kv_head));
      }
      base += count;
    }
  });
}

}  // namespace

void RmsNormRows(const kernels::KernelTable& table, Team& team, const float* x, int64_t ldx,
                 const float* weight, float eps, int rows, int n, float* out, int64_t ldo) {
  team.ParallelFor(rows, kRowGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) table.rms_norm(x + r * ldx, weight, eps, n, out + r * ldo);
  });
}

void RmsNormHeads(const kernels::KernelTable& table, Team& team, float* x, int64_t ldx, int rows,
                  int heads, int head_dim, const float* weight, float eps) {
  team.ParallelFor(rows, kRowGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      for (int h = 0; h < heads; ++h) {
        float* head = x + r * ldx + static_cast<int64_t>(h) * head_dim;
        table.rms_norm(head, weight, eps, head_dim, head);
      }
    }
  });
}

void AddRows(const kernels::KernelTable& table, Team& team, const float* x, int64_t ldx, int rows,
             int n, float* inout, int64_t ldio) {
  team.ParallelFor(rows, kRowGrain * 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) table.add(x + r * ldx, n, inout + r * ldio);
  });
}

void SoftCapRows(const kernels::KernelTable& table, Team& team, float cap, int rows, int n, float* inout,
                 int64_t ldio) {
  team.ParallelFor(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) table.soft_cap(cap, n, inout + r * ldio);
  });
}

void GateRows(const kernels::KernelTable& table, Team& team, Gate kind, const float* gate,
              const float* up, int64_t ld, int rows, int n, float* out, int64_t ldo) {
  const auto gated = kind == Gate::kSilu ? table.silu_mul : table.gelu_tanh_mul;
  team.ParallelFor(rows, kRowGrain / 2, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) gated(gate + r * ld, up + r * ld, n, out + r * ldo);
  });
}

RopeTable::RopeTable(std::vector<double> inverse_frequency, int positions_max, double magnitude)
    : inverse_frequency_(std::move(inverse_frequency)), positions_max_(positions_max),
      magnitude_(magnitude) {
  CHECK(positions_max_ >= 1, "a rope table of no positions");
}

void RopeTable::Ensure(int positions) {
  CHECK(positions <= positions_max_, "position beyond the rope table");
  const size_t half = inverse_frequency_.size();
  while (static_cast<int64_t>(chunks_.size()) * kChunk < positions) {
    const int first = static_cast<int>(chunks_.size()) * kChunk;
    std::vector<float> chunk(static_cast<size_t>(kChunk) * 2 * half);
    for (int p = 0; p < kChunk; ++p) {
      float* row = chunk.data() + static_cast<size_t>(p) * 2 * half;
      for (size_t i = 0; i < half; ++i) {
        const double angle = (first + p) * inverse_frequency_[i];
        row[i] = static_cast<float>(magnitude_ * std::cos(angle));
        row[half + i] = static_cast<float>(magnitude_ * std::sin(angle));
      }
    }
    chunks_.push_back(std::move(chunk));
  }
}

const float* RopeTable::Cos(int position) const {
  return chunks_[static_cast<size_t>(position) / kChunk].data() +
         static_cast<size_t>(position % kChunk) * 2 * inverse_frequency_.size();
}

const float* RopeTable::Sin(int position) const {
  return Cos(position) + inverse_frequency_.size();
}

void RopeRows(const kernels::KernelTable& table, Team& team, RopeTable& rope,
              kernels::RopeStyle style, std::span<const RowSpan> spans, float* x, int64_t ldx,
              int heads, int head_dim) {
  for (const RowSpan& span : spans) {
    rope.Ensure(span.position + span.rows);
    team.ParallelFor(span.rows, kRowGrain * 2, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const int position = span.position + static_cast<int>(r);
        table.rope(x + (span.row_begin + r) * ldx, heads, head_dim, rope.rope_dim(),
                   rope.Cos(position), rope.Sin(position), style);
      }
    });
  }
}

void WriteKvRows(const kernels::KernelTable& table, Team& team, std::span<const RowSpan> spans,
                 const float* k, const float* v, int64_t ld, const KvLayer& layer) {
  for (const RowSpan& span : spans) {
    // A piece is a whole block, so that no two threads write to one cache line.
    const int first_block = span.position / kernels::kKvBlockTokens;
    const int last_block = (span.position + span.rows - 1) / kernels::kKvBlockTokens;
    team.ParallelFor(last_block - first_block + 1, 1, [&](int64_t begin, int64_t end, int) {
      const int from = std::max<int>(
          span.position, (first_block + static_cast<int>(begin)) * kernels::kKvBlockTokens);
      const int to = std::min<int>(span.position + span.rows,
                                   (first_block + static_cast<int>(end)) * kernels::kKvBlockTokens);
      for (int position = from; position < to; ++position) {
        const int64_t row = span.row_begin + position - span.position;
        std::byte* block =
            layer.base + static_cast<size_t>(span.block_table[position / kernels::kKvBlockTokens]) *
                             layer.block_bytes;
        table.kv_write(k + row * ld, v + row * ld, layer.kv_heads, layer.head_dim,
                       position % kernels::kKvBlockTokens, block);
      }
    });
  }
}

float* AttentionScratch::Take(size_t floats) {
  constexpr size_t kAlign = 64 / sizeof(float);
  if (floats_.size() < floats + kAlign) floats_.resize(floats + kAlign);
  const size_t past = reinterpret_cast<uintptr_t>(floats_.data()) / sizeof(float) % kAlign;
  return floats_.data() + (kAlign - past) % kAlign;
}

void AttentionRows(const kernels::KernelTable& table, Team& team, AttentionScratch& scratch,
                   std::span<const RowSpan> spans, const AttentionShape& shape, const float* q,
                   int64_t ldq, const KvLayer& layer, float* out, int64_t ldo) {
  const AttentionWork work{.table = table, .spans = spans, .shape = shape, .q = q, .ldq = ldq,
                           .layer = layer, .out = out, .ldo = ldo};
  if (WorthSplitting(work, team)) {
    AttendBySegments(work, team, scratch);
  } else {
    AttendByRows(work, team);
  }
}

}  // namespace pelton::nn
