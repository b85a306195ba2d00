// Norms, rotary embedding, gates, reductions.
#include <bit>
#include <cmath>

#include "kernels/numbers.h"
#include "kernels/ref/ref.h"

namespace pelton::kernels::ref {

float Exp(float x) {
  if (x < kExpLow) return 0;
  const float clamped = x > kExpHigh ? kExpHigh : x;
  const float shifted = std::fma(clamped, kLog2E, kRoundMagic);  // integer n in the low bits
  const float n = shifted - kRoundMagic;
  float r = std::fma(n, -kLn2High, clamped);
  r = std::fma(n, -kLn2Low, r);
  float p = kExp6;
  p = std::fma(p, r, kExp5);
  p = std::fma(p, r, kExp4);
  p = std::fma(p, r, kExp3);
  p = std::fma(p, r, kExp2);
  p = std::fma(p, r, 1.f);
  p = std::fma(p, r, 1.f);
  return p * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127U) << 23);  // 2^n
}

float Fold(const float lanes[16]) {
  float sum[16];
  for (int i = 0; i < kLanes; ++i) sum[i] = lanes[i];
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) sum[i] += sum[i + width];
  }
  return sum[0];
}

void RmsNorm(const float* x, const float* weight, float eps, int n, float* out) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i % kLanes] = std::fma(x[i], x[i], lanes[i % kLanes]);
  const float factor = 1.f / std::sqrt(Fold(lanes) / static_cast<float>(n) + eps);
  for (int i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

void Rope(float* x, int heads, int head_dim, int rope_dim, const float* cos, const float* sin,
          RopeStyle style) {
  const int half = rope_dim / 2;
  for (int h = 0; h < heads; ++h) {
    float* head = x + static_cast<int64_t>(h) * head_dim;
    for (int i = 0; i < half; ++i) {
      const int first = style == RopeStyle::kInterleaved ? 2 * i : i;
      const int second = style == RopeStyle::kInterleaved ? 2 * i + 1 : i + half;
      const float a = head[first];
      const float b = head[second];
      head[first] = std::fma(a, cos[i], -(b * sin[i]));
      head[second] = std::fma(b, cos[i], a * sin[i]);
    }
  }
}

void SiluMul(const float* gate, const float* up, int n, float* out) {
  for (int i = 0; i < n; ++i) out[i] = gate[i] / (1.f + Exp(-gate[i])) * up[i];
}

void GeluTanhMul(const float* gate, const float* up, int n, float* out) {
  for (int i = 0; i < n; ++i) {
    const float x = gate[i];
    const float inner = std::fma(x * x * kGeluCubic, x, x);
    out[i] = x / (1.f + Exp(inner * kGeluMinus2Root)) * up[i];
  }
}

void Add(const float* x, int n, float* inout) {
  for (int i = 0; i < n; ++i) inout[i] += x[i];
}

void Scale(float factor, int n, float* inout) {
  for (int i = 0; i < n; ++i) inout[i] *= factor;
}

void SoftCap(float cap, int n, float* inout) {
  for (int i = 0; i < n; ++i) {
    const float y = inout[i] / cap;
    inout[i] = cap * (1.f - 2.f / (Exp(y + y) + 1.f));  // tanh
  }
}

void MaxSumExp(const float* x, int n, float* max, double* sum_exp) {
  float largest = -INFINITY;
  for (int i = 0; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  double lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i % kLanes] += static_cast<double>(Exp(x[i] - largest));
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  *max = largest + 0.f;  // one sign of zero
  *sum_exp = lanes[0];
}

int Argmax(const float* x, int n) {
  int best = 0;
  float largest = -INFINITY;
  for (int i = 0; i < n; ++i) {
    if (x[i] > largest) {
      largest = x[i];
      best = i;
    }
  }
  return best;
}

}  // namespace pelton::kernels::ref
