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
  float out[kHeadDimMax] = {};  // Σ p · value
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

struct Place {  // one query
  const float* q;
  float* out;
  int kv_head;
  int first, last;  // positions it sees
};

Place PlaceOf(const AttentionArgs& args, int row, int head) {
  const int last = args.position + row;
  const int64_t offset = static_cast<int64_t>(head) * args.head_dim;
  return {.q = args.q + row * args.q_stride + offset,
          .out = args.out + row * args.out_stride + offset,
          .kv_head = head / (args.heads / args.kv_heads),
          .first = args.window > 0 ? std::max(0, last - args.window + 1) : 0,
          .last = last};
}

// One query over the positions of one segment. Chunks lie at absolute positions; a chunk that is
// masked wholly changes nothing (its factor is exp(0) = 1 and its weights are 0), so rows of a tile
// may share chunks.
void AttendSegment(const AttentionArgs& args, const Place& at, int segment, Running* run) {
  const int begin = std::max(at.first, segment * kAttentionSegment);
  const int end = std::min(at.last + 1, (segment + 1) * kAttentionSegment);
  for (int chunk = begin / kAttentionChunk * kAttentionChunk; chunk < end; chunk += kAttentionChunk) {
    float weights[kAttentionChunk];
    ChunkScores(args, at.q, at.kv_head, chunk, begin, end - 1, weights);
    const float factor = Advance(*run, weights);
    for (int d = 0; d < args.head_dim; ++d) run->out[d] *= factor;
    for (int position = std::max(chunk, begin); position < std::min(chunk + kAttentionChunk, end);
         ++position) {
      const std::byte* values = args.kv +
                                static_cast<size_t>(args.block_table[position / kKvBlockTokens]) *
                                    args.block_bytes +
                                static_cast<size_t>(at.kv_head) * KvHeadBytes(args.head_dim) +
                                KvValuesOffset(args.head_dim);
      for (int d = 0; d < args.head_dim; ++d) {
        const int64_t index = static_cast<int64_t>(position % kKvBlockTokens) * args.head_dim + d;
        run->out[d] = std::fma(weights[position - chunk], HalfAt(values, index), run->out[d]);
      }
    }
  }
}

// What was summed before and the next segment. A segment that is masked wholly changes nothing, and
// neither does nothing before: one of the factors is then exactly 1 and the other exactly 0.
void Join(const Running& next, int head_dim, Running* sum) {
  const float max = next.max > sum->max ? next.max : sum->max;
  const float before = Exp(sum->max - max);
  const float after = Exp(next.max - max);
  for (int lane = 0; lane < kLanes; ++lane) {
    sum->lanes[lane] = std::fma(next.lanes[lane], after, sum->lanes[lane] * before);
  }
  for (int d = 0; d < head_dim; ++d) {
    sum->out[d] = std::fma(next.out[d], after, sum->out[d] * before);
  }
  sum->max = max;
}

void Normalise(const Running& run, int head_dim, float* out) {
  const float inverse = 1.f / Fold(run.lanes);
  for (int d = 0; d < head_dim; ++d) out[d] = std::fma(run.out[d], inverse, 0.f);  // no -0
}

void AttendOne(const AttentionArgs& args, int row, int head) {
  const Place at = PlaceOf(args, row, head);
  Running sum;
  for (int segment = at.first / kAttentionSegment; segment <= at.last / kAttentionSegment; ++segment) {
    Running next;
    AttendSegment(args, at, segment, &next);
    Join(next, args.head_dim, &sum);
  }
  Normalise(sum, args.head_dim, at.out);
}

// A part: [head_dim padded to 16], [16] lanes, max.
float* LanesOf(float* part, int head_dim) { return part + AttentionPartFloats(head_dim) - 32; }

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

void AttentionSegment(const AttentionArgs& args, int segment, float* parts) {
  const int group = args.heads / args.kv_heads;
  for (int i = 0; i < group; ++i) {
    float* part = parts + static_cast<size_t>(i) * AttentionPartFloats(args.head_dim);
    Running run;
    AttendSegment(args, PlaceOf(args, 0, args.kv_head_begin * group + i), segment, &run);
    std::copy_n(run.out, args.head_dim, part);
    float* lanes = LanesOf(part, args.head_dim);
    std::copy_n(run.lanes, kLanes, lanes);
    lanes[kLanes] = run.max;
  }
}

void AttentionJoin(const AttentionArgs& args, int segments, const float* parts) {
  const int group = args.heads / args.kv_heads;
  const size_t floats = AttentionPartFloats(args.head_dim);
  for (int i = 0; i < group; ++i) {
    Running sum;
    for (int s = 0; s < segments; ++s) {
      const float* part = parts + (static_cast<size_t>(s) * group + i) * floats;
      Running next;
      std::copy_n(part, args.head_dim, next.out);
      std::copy_n(part + floats - 32, kLanes, next.lanes);
      next.max = part[floats - 32 + kLanes];
      Join(next, args.head_dim, &sum);
    }
    Normalise(sum, args.head_dim, PlaceOf(args, 0, args.kv_head_begin * group + i).out);
  }
}

}  // namespace pelton::kernels::ref
