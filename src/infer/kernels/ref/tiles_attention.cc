// KV blocks and attention on bf16 tiles, one score at a time: what tiles.h says.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/numbers.h"
#include "kernels/ref/bf16.h"
#include "kernels/ref/ref.h"

namespace pelton::kernels::ref {
namespace {

uint16_t Rounded(float v) { return RoundToBf16(std::min(std::max(v, -kBf16Max), kBf16Max)); }
uint16_t Stored(float v) { return v != v ? uint16_t{0} : Rounded(v); }

uint16_t At(const std::byte* p, int64_t index) {
  uint16_t bits = 0;
  std::memcpy(&bits, p + index * 2, 2);
  return bits;
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

const std::byte* KeysAt(const AttentionArgs& args, int kv_head, int position) {
  return args.kv +
         static_cast<size_t>(args.block_table[position / kKvBlockTokens]) * args.block_bytes +
         static_cast<size_t>(kv_head) * KvHeadBytes(args.head_dim);
}

float Score(const AttentionArgs& args, const Place& at, int position) {
  const std::byte* keys = KeysAt(args, at.kv_head, position);
  float dot = 0;
  for (int first = 0; first < args.head_dim; first += kTileInputs) {
    dot = TileStep(dot, [&](int i) { return Rounded(at.q[first + i]); },
                   [&](int i) { return At(keys, TileKeyIndex(first + i, position % kKvBlockTokens)); });
  }
  const float score = dot * args.scale;
  if (args.softcap <= 0) return score;
  const float y = score / args.softcap;
  return args.softcap * (1.f - 2.f / (Exp(y + y) + 1.f));  // tanh
}

// Sums, lanes and maximum of one query over some positions.
struct Part {
  float max = kScoreFloor;
  float lanes[kLanes] = {};
  float out[kHeadDimMax] = {};
};

// Positions of the run that begins at `start`.
void AttendRun(const AttentionArgs& args, const Place& at, int start, Part* part) {
  const int begin = std::max(at.first, start);
  const int end = std::min(at.last + 1, start + kTileRun);
  float weights[kTileRun];
  for (int p = begin; p < end; ++p) {
    weights[p - start] = Score(args, at, p);
    part->max = std::max(part->max, weights[p - start]);
  }
  for (int p = begin; p < end; ++p) {
    weights[p - start] = Exp(weights[p - start] - part->max);
    part->lanes[p % kLanes] += weights[p - start];
  }
  for (int d = 0; d < args.head_dim; ++d) {
    for (int first = begin / kTileInputs * kTileInputs; first < end; first += kTileInputs) {
      const auto seen = [&](int i) { return first + i >= begin && first + i < end; };
      part->out[d] = TileStep(
          part->out[d],
          [&](int i) { return seen(i) ? RoundToBf16(weights[first + i - start]) : uint16_t{0}; },
          [&](int i) {
            if (!seen(i)) return uint16_t{0};
            const int p = first + i;
            return At(KeysAt(args, at.kv_head, p) + KvValuesOffset(args.head_dim),
                      TileValueIndex(d, p % kKvBlockTokens, args.head_dim));
          });
    }
  }
}

// As ref::Join of attention.cc.
void Join(const Part& next, int head_dim, Part* sum) {
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

void Attend(const AttentionArgs& args, const Place& at, int segment, Part* part) {
  const int first = segment * kAttentionSegment;
  for (int start = first; start < first + kAttentionSegment; start += kTileRun) {
    if (start + kTileRun <= at.first || start > at.last) continue;
    Part next;
    AttendRun(args, at, start, &next);
    Join(next, args.head_dim, part);
  }
}

void AttendOne(const AttentionArgs& args, int row, int head) {
  const Place at = PlaceOf(args, row, head);
  Part sum;
  for (int segment = at.first / kAttentionSegment; segment <= at.last / kAttentionSegment; ++segment) {
    Part next;
    Attend(args, at, segment, &next);
    Join(next, args.head_dim, &sum);
  }
  const float inverse = 1.f / Fold(sum.lanes);
  for (int d = 0; d < args.head_dim; ++d) at.out[d] = std::fma(sum.out[d], inverse, 0.f);  // no -0
}

}  // namespace

void TileKvWrite(const float* k, const float* v, int kv_heads, int head_dim, int slot,
                 std::byte* block) {
  if (!HeadsOnTiles(head_dim)) return KvWrite(k, v, kv_heads, head_dim, slot, block);
  for (int h = 0; h < kv_heads; ++h) {
    std::byte* keys = block + static_cast<size_t>(h) * KvHeadBytes(head_dim);
    std::byte* values = keys + KvValuesOffset(head_dim);
    for (int d = 0; d < head_dim; ++d) {
      const uint16_t key = Stored(k[h * head_dim + d]);
      const uint16_t value = Stored(v[h * head_dim + d]);
      std::memcpy(keys + TileKeyIndex(d, slot) * 2, &key, 2);
      std::memcpy(values + TileValueIndex(d, slot, head_dim) * 2, &value, 2);
    }
  }
}

void TileAttention(const AttentionArgs& args) {
  if (!HeadsOnTiles(args.head_dim)) return Attention(args);
  const int group = args.heads / args.kv_heads;
  for (int row = 0; row < args.rows; ++row) {
    for (int head = args.kv_head_begin * group; head < args.kv_head_end * group; ++head) {
      AttendOne(args, row, head);
    }
  }
}

void TileAttentionSegment(const AttentionArgs& args, int segment, float* parts) {
  if (!HeadsOnTiles(args.head_dim)) return AttentionSegment(args, segment, parts);
  const int group = args.heads / args.kv_heads;
  const size_t floats = AttentionPartFloats(args.head_dim);
  for (int i = 0; i < group; ++i, parts += floats) {
    Part part;
    Attend(args, PlaceOf(args, 0, args.kv_head_begin * group + i), segment, &part);
    std::copy_n(part.out, args.head_dim, parts);
    std::copy_n(part.lanes, kLanes, parts + floats - 32);
    parts[floats - 32 + kLanes] = part.max;
  }
}

}  // namespace pelton::kernels::ref
