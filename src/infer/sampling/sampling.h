// From logits to a token. The order is fixed and documented in README.md:
// logprobs (of the model's own distribution) → logit_bias → penalties → temperature → top_k →
// typical → top_p → min_p → draw. Temperature 0 is greedy: the first maximum after bias and penalties.
// Sources: typical, Meister et al. 2022; top_p, Holtzman et al. 2019; min_p, Nguyen et al. 2024;
// repetition penalty, Keskar et al. 2019 (CTRL).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kernels/kernels.h"
#include "sampling/candidates.h"

namespace pelton::sampling {

inline constexpr float kGreedyTemperature = 1e-5f;
inline constexpr float kTemperatureMax = 100.f;
inline constexpr size_t kLogitBiasMax = 1024;
inline constexpr int kTopLogprobsMax = 20;

struct SamplingParams {
  float temperature = 1.f;         // 0 … kTemperatureMax; below kGreedyTemperature: greedy
  int top_k = 0;                   // 0: off
  float top_p = 1.f;               // (0, 1]
  float min_p = 0.f;               // [0, 1)
  float typical_p = 1.f;           // (0, 1]
  float repetition_penalty = 1.f;  // > 0; over prompt and output
  float frequency_penalty = 0.f;   // [-2, 2]; over output
  float presence_penalty = 0.f;    // [-2, 2]; over output
  // Token, addend in [-100, 100]; at most kLogitBiasMax; a token named twice gets the sum.
  std::vector<std::pair<int32_t, float>> logit_bias{};
  uint64_t seed = 0;               // always set; a fresh random one when the client gave none
  int top_logprobs = -1;           // -1: no logprobs; 0…20: the token's own and that many best
};

// INVALID_ARGUMENT, with the field as param, when a value is not finite or out of the range above.
Status CheckParams(const SamplingParams& params, int vocab_size);

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.f;
};

struct Sample {
  int32_t token = -1;              // -1: nothing can be drawn (see Draw)
  float logprob = 0.f;             // of the model's own distribution; only when asked
  std::vector<TokenLogprob> top;   // best first; ties by lower id
};

// True when no logit is a NaN or an infinity.
bool AllFinite(std::span<const float> logits);

// State of one sequence. Owned by the engine thread. Draw i uses (seed, i): the same text whatever
// else runs.
class Sampler {
 public:
  // `params` passed CheckParams; `table` lives longer than the sampler.
  Sampler(SamplingParams params, std::span<const int32_t> prompt, int vocab_size,
          const kernels::KernelTable& table);

  // `logits` [vocab] may be changed. `banned`: ids that must not be drawn (ignore_eos), may be empty.
  // Token -1, and no draw is counted, when a logit is not finite or every id is banned. Greedy costs
  // a check for finite numbers and an argmax; a small top_k one pass; nothing sorts the vocabulary.
  Sample Draw(std::span<float> logits, std::span<const int32_t> banned);

  const SamplingParams& params() const { return params_; }
  uint64_t draws() const { return draws_; }

 private:
  struct SeenToken {
    int32_t token = 0;
    int32_t outputs = 0;  // times drawn; 0: in the prompt only
  };

  bool WantsHistory() const;
  void Remember(int32_t token, int outputs);
  void AdjustLogits(std::span<float> logits, std::span<const int32_t> banned) const;
  double ReadOwnDistribution(std::span<const float> logits, Sample* sample);
  int32_t DrawToken(std::span<float> logits);
  void CollectCandidates(std::span<const float> scaled);

  SamplingParams params_;
  const kernels::KernelTable& table_;
  int vocab_size_;
  uint64_t draws_ = 0;
  std::vector<SeenToken> seen_;                    // distinct, in order of first appearance
  std::unordered_map<int32_t, int32_t> seen_index_;  // token → index into seen_
  // Scratch, kept so that a step does not allocate.
  std::vector<Candidate> candidates_;
  RunSums runs_;
};

}  // namespace pelton::sampling
