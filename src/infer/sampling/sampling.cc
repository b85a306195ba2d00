#include "sampling/sampling.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/assert.h"
#include "base/random.h"

namespace pelton::sampling {

namespace {

// Bias and penalties stay inside ±kLogitMax, a banned id lies below all of them; all are finite even
// after the division by the smallest temperature.
constexpr float kLogitMax = 1e29f;
constexpr float kBannedLogit = -1e30f;

// Scaled values below this weigh nothing: e^-40 of the best token's weight, so that even a million of
// them stay below the rounding of top_p and typical_p, which are floats.
constexpr float kNegligible = -40.f;

float Clamped(float logit) { return std::clamp(logit, -kLogitMax, kLogitMax); }

Status InRange(const char* name, float value, float low, bool low_open, float high) {
  const bool ok = std::isfinite(value) && (low_open ? value > low : value >= low) && value <= high;
  if (ok) return OkStatus();
  return InvalidArgument(fmt::format("{} is {}, but must be {} {} and at most {}", name, value,
                                     low_open ? "above" : "at least", low, high))
      .WithParam(name);
}

// value → (value - max) / temperature, so that the best is 0.
void ScaleByTemperature(std::span<float> logits, float max, float temperature) {
  const float factor = 1.f / temperature;
  for (float& v : logits) v = (v - max) * factor;
}

// Logits as the model gave them, of the draw that this thread is at. Not a member: a sequence would
// hold [vocab] floats for as long as it lives, and thousands may be alive.
thread_local std::vector<float> t_own_logits;

constexpr size_t kCandidatesKept = 4096;

}  // namespace

Status CheckParams(const SamplingParams& p, int vocab_size) {
  RETURN_IF_ERROR(InRange("temperature", p.temperature, 0.f, false, kTemperatureMax));
  RETURN_IF_ERROR(InRange("top_p", p.top_p, 0.f, true, 1.f));
  if (!(p.min_p >= 0.f && p.min_p < 1.f)) {
    return InvalidArgument(fmt::format("min_p is {}, but must be at least 0 and below 1", p.min_p))
        .WithParam("min_p");
  }
  RETURN_IF_ERROR(InRange("typical_p", p.typical_p, 0.f, true, 1.f));
  RETURN_IF_ERROR(InRange("repetition_penalty", p.repetition_penalty, 0.f, true,
                          std::numeric_limits<float>::max()));
  RETURN_IF_ERROR(InRange("frequency_penalty", p.frequency_penalty, -2.f, false, 2.f));
  RETURN_IF_ERROR(InRange("presence_penalty", p.presence_penalty, -2.f, false, 2.f));
  if (p.top_k < 0) {
    return InvalidArgument(fmt::format("top_k is {}, but must not be negative", p.top_k))
        .WithParam("top_k");
  }
  if (p.top_logprobs < -1 || p.top_logprobs > kTopLogprobsMax) {
    return InvalidArgument(fmt::format("top_logprobs is {}, but must be 0 to {}", p.top_logprobs,
                                       kTopLogprobsMax))
        .WithParam("top_logprobs");
  }
  if (p.logit_bias.size() > kLogitBiasMax) {
    return InvalidArgument(fmt::format("logit_bias has {} entries, but at most {} are taken",
                                       p.logit_bias.size(), kLogitBiasMax))
        .WithParam("logit_bias");
  }
  for (const auto& [token, bias] : p.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return InvalidArgument(fmt::format("logit_bias names token {}, but the vocabulary has {}",
                                         token, vocab_size))
          .WithParam("logit_bias");
    }
    RETURN_IF_ERROR(InRange("logit_bias", bias, -100.f, false, 100.f));
  }
  return OkStatus();
}

bool AllFinite(std::span<const float> logits) {
  // Exponent bits all set: NaN or infinity. An integer reduction, which the compiler vectorises.
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t bad = 0;
  for (const float v : logits) {
    bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(v) & kExponent) == kExponent);
  }
  return bad == 0;
}

Sampler::Sampler(SamplingParams params, std::span<const int32_t> prompt, int vocab_size,
                 const kernels::KernelTable& table)
    : params_(std::move(params)), table_(table), vocab_size_(vocab_size) {
  if (params_.repetition_penalty != 1.f) {
    for (const int32_t token : prompt) Remember(token, 0);
  }
}

bool Sampler::WantsHistory() const {
  return params_.repetition_penalty != 1.f || params_.frequency_penalty != 0.f ||
         params_.presence_penalty != 0.f;
}

void Sampler::Remember(int32_t token, int outputs) {
  const auto [at, is_new] = seen_index_.try_emplace(token, static_cast<int32_t>(seen_.size()));
  if (is_new) seen_.push_back({.token = token});
  seen_[static_cast<size_t>(at->second)].outputs += outputs;
}

Sample Sampler::Draw(std::span<float> logits, std::span<const int32_t> banned) {
  Sample sample;
  if (BUG_IF(static_cast<int>(logits.size()) != vocab_size_, "logits of another vocabulary") ||
      !AllFinite(logits)) {
    return sample;
  }
  const bool wants_logprobs = params_.top_logprobs >= 0;
  const double log_sum = wants_logprobs ? ReadOwnDistribution(logits, &sample) : 0.;
  AdjustLogits(logits, banned);
  sample.token = DrawToken(logits);
  // A flat distribution with top_p leaves nearly the whole vocabulary; a sequence must not hold on
  // to that until it ends.
  if (candidates_.capacity() > kCandidatesKept) std::vector<Candidate>().swap(candidates_);
  if (sample.token < 0) return {};
  ++draws_;
  if (WantsHistory()) Remember(sample.token, 1);
  if (wants_logprobs) {
    sample.logprob =
        static_cast<float>(t_own_logits[static_cast<size_t>(sample.token)] - log_sum);
  }
  return sample;
}

// Keeps the logits as the model gave them, fills sample->top, and returns ln Σ exp.
double Sampler::ReadOwnDistribution(std::span<const float> logits, Sample* sample) {
  t_own_logits.assign(logits.begin(), logits.end());
  float max = 0.f;
  double sum = 0.;
  table_.max_sum_exp(logits.data(), vocab_size_, &max, &sum);
  const double log_sum = static_cast<double>(max) + std::log(sum);
  SelectTop(logits, std::min(params_.top_logprobs, vocab_size_), &candidates_);
  sample->top.reserve(candidates_.size());
  for (const Candidate& c : candidates_) {
    sample->top.push_back({.token = c.id, .logprob = static_cast<float>(c.value - log_sum)});
  }
  return log_sum;
}

void Sampler::AdjustLogits(std::span<float> logits, std::span<const int32_t> banned) const {
  for (const auto& [token, bias] : params_.logit_bias) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = Clamped(logit + bias);
  }
  for (const SeenToken& seen : seen_) {  // empty unless a penalty is set
    float& logit = logits[static_cast<size_t>(seen.token)];
    logit = logit > 0.f ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    logit = Clamped(logit);
    if (seen.outputs == 0) continue;
    logit -= params_.frequency_penalty * static_cast<float>(seen.outputs);
    logit = Clamped(logit - params_.presence_penalty);
  }
  for (const int32_t token : banned) {
    if (token >= 0 && token < vocab_size_) logits[static_cast<size_t>(token)] = kBannedLogit;
  }
}

int32_t Sampler::DrawToken(std::span<float> logits) {
  const int best = table_.argmax(logits.data(), vocab_size_);
  const float max = logits[static_cast<size_t>(best)];
  if (max == kBannedLogit) return -1;
  if (params_.temperature < kGreedyTemperature || params_.top_k == 1) return best;
  ScaleByTemperature(logits, max, params_.temperature);
  const double point = UniformAt(params_.seed, draws_);
  const bool cuts_by_rank = params_.top_k > 0 && params_.top_k < vocab_size_;
  const bool cuts = cuts_by_rank || params_.typical_p < 1.f || params_.top_p < 1.f ||
                    params_.min_p > 0.f;
  if (!cuts) {
    SumRuns(logits, table_, &runs_);
    return DrawFromAll(logits, runs_, point);
  }
  if (cuts_by_rank) {
    SelectTop(logits, params_.top_k, &candidates_);
    for (Candidate& c : candidates_) c.weight = std::exp(static_cast<double>(c.value));
    if (params_.typical_p < 1.f) KeepTypical(params_.typical_p, &candidates_);
    if (params_.top_p < 1.f) KeepTopP(TotalWeight(candidates_), params_.top_p, &candidates_);
    if (params_.min_p > 0.f) KeepMinP(params_.min_p, &candidates_);
  } else {
    CollectCandidates(logits);
  }
  return DrawFrom(candidates_, point);
}

// The cuts without top_k: looks only as far down the distribution as they can reach.
void Sampler::CollectCandidates(std::span<const float> scaled) {
  SumRuns(scaled, table_, &runs_);
  if (params_.typical_p < 1.f) {
    CollectAbove(scaled, runs_, kNegligible, &candidates_);
    KeepTypical(params_.typical_p, &candidates_);
    if (params_.top_p < 1.f) KeepTopP(TotalWeight(candidates_), params_.top_p, &candidates_);
  } else if (params_.top_p < 1.f) {
    // e^-6 of the best token's weight usually holds all that top_p wants; deeper only when not.
    constexpr float kFloors[] = {-6.f, -14.f, kNegligible};
    for (const float floor : kFloors) {
      CollectAbove(scaled, runs_, floor, &candidates_);
      if (TotalWeight(candidates_) >= params_.top_p * runs_.total) break;
    }
    KeepTopP(runs_.total, params_.top_p, &candidates_);
  } else {
    // min_p alone: a little below its floor, which KeepMinP then cuts exactly.
    const float floor = std::log(params_.min_p) - 1e-3f;
    CollectAbove(scaled, runs_, floor, &candidates_);
  }
  if (params_.min_p > 0.f) KeepMinP(params_.min_p, &candidates_);
}

}  // namespace pelton::sampling
