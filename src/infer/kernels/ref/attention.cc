// KV blocks and attention, one score at a time.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/numbers.h"
#include "kernels/packed.h"
#include "kernels/ref/ref.h"

namespace pelton::kernels::ref {
namespace {

uint16_t StoredHalf(float v) {
  if (v != v) return 0;
  return tensor::F16FromF32(std::min(std::max(v, -kF16Max), kF16Max));
}

float HalfAt(const std::byte* at, int64_t index) {
  uint16_t bits = 0;
  std::memcpy(&bits, at + index * 2, 2);
  return tensor::F32FromF16(bits);
}

// Scores of one chunk for one query: [64], -infinity where masked.
void ChunkScores(const AttentionArgs& args, const float* q, int kv_head, int chunk, int first,
                 int last, float* scores) {
  for (int j = 0; j < kAttentionChunk; ++j) {
    const int position = chunk + j;
    scores[j] = -INFINITY;
    if (position < first || position > last) continue;
    const std::byte* keys = args.kv +
                            static_cast<size_t>(args.block_table[position / kKvBlockTokens]) *
                                args.block_bytes +
                            static_cast<size_t>(kv_head) * KvHeadBytes(args.head_dim);
    float dot = 0;
    for (int d = 0; d < args.head_dim; ++d) {
      dot = std::fma(q[d], HalfAt(keys, d * kKvBlockTokens + position % kKvBlockTokens), dot);
    }
    scores[j] = dot * args.scale;
    if (args.softcap > 0) {
      const float y = scores[j] / args.softcap;
      scores[j] = args.softcap * (1.f - 2.f / (Exp(y + y) + 1.f));  // tanh
    }
  }
}

struct Running {  // online softmax of one query
  float max = kScoreFloor;
  float lanes[kLanes] = {};  // Σ p, position mod 16
};

// Turns scores into weights and rescales what was summed before; returns the factor.
float Advance(Running& run, float* scores) {
  float max = run.max;
  for (int j = 0; j < kAttentionChunk; ++j) max = scores[j] > max ? scores[j] : max;
  const float factor = Exp(run.max - max);
  for (int j = 0; j < kAttentionChunk; ++j) scores[j] = Exp(scores[j] - max);
  for (int lane = 0; lane < kLanes; ++lane) {
    run.lanes[lane] *= factor;
    for (int j = lane; j < kAttentionChunk; j += kLanes) run.lanes[lane] += scores[j];
  }
  run.max = max;
  return factor;
}

// One row, one query head. Chunks lie at absolute positions; a chunk that is masked wholly changes
// nothing (its factor is exp(0) = 1 and its weights are 0), so rows of a tile may share chunks.
void AttendOne(const AttentionArgs& args, int row, int head) {
  const int kv_head = head / (args.heads / args.kv_heads);
  const int last = args.position + row;
  const int first = args.window > 0 ? std::max(0, last - args.window + 1) : 0;
  const float* q = args.q + row * args.q_stride + static_cast<int64_t>(head) * args.head_dim;
  float* out = args.out + row * args.out_stride + static_cast<int64_t>(head) * args.head_dim;
  Running run;
  for (int d = 0; d < args.head_dim; ++d) out[d] = 0;
  for (int chunk = first / kAttentionChunk * kAttentionChunk; chunk <= last;
       chunk += kAttentionChunk) {
    float weights[kAttentionChunk];
    ChunkScores(args, q, kv_head, chunk, first, last, weights);
    const float factor = Advance(run, weights);
    for (int d = 0; d < args.head_dim; ++d) out[d] *= factor;
    const int end = std::min(kAttentionChunk, last - chunk + 1);
    for (int j = std::max(0, first - chunk); j < end; ++j) {
      const int position = chunk + j;
      const std::byte* values = args.kv +
                                static_cast<size_t>(args.block_table[position / kKvBlockTokens]) *
                                    args.block_bytes +
                                static_cast<size_t>(kv_head) * KvHeadBytes(args.head_dim) +
                                KvValuesOffset(args.head_dim);
      for (int d = 0; d < args.head_dim; ++d) {
        const int64_t at = static_cast<int64_t>(position % kKvBlockTokens) * args.head_dim + d;
        out[d] = std::fma(weights[j], HalfAt(values, at), out[d]);
      }
    }
  }
  const float inverse = 1.f / Fold(run.lanes);
  for (int d = 0; d < args.head_dim; ++d) out[d] = std::fma(out[d], inverse, 0.f);  // no -0
}

}  // namespace

void KvWrite(const float* k, const float* v, int kv_heads, int head_dim, int slot,
             std::byte* block) {
  for (int h = 0; h < kv_heads; ++h) {
    std::byte* keys = block + static_cast<size_t>(h) * KvHeadBytes(head_dim);
    std::byte* values = keys + KvValuesOffset(head_dim);
    for (int d = 0; d < head_dim; ++d) {
      const uint16_t key = StoredHalf(k[h * head_dim + d]);
      const uint16_t value = StoredHalf(v[h * head_dim + d]);
      std::memcpy(keys + (static_cast<size_t>(d) * kKvBlockTokens + slot) * 2, &key, 2);
      std::memcpy(values + (static_cast<size_t>(slot) * head_dim + d) * 2, &value, 2);
    }
  }
}

void Attention(const AttentionArgs& args) {
  const int group = args.heads / args.kv_heads;
  for (int row = 0; row < args.rows; ++row) {
    for (int head = args.kv_head_begin * group; head < args.kv_head_end * group; ++head) {
      AttendOne(args, row, head);
    }
  }
}

}  // namespace pelton::kernels::ref
