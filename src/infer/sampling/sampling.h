// From logits to a token. The order is fixed and documented in README.md:
// logprobs (of the model's own distribution) → logit_bias → penalties → temperature → top_k →
// typical → top_p → min_p → draw. Temperature 0 is greedy: the first maximum after bias and penalties.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/kernels.h"

namespace pelton::sampling {

struct SamplingParams {
  float temperature = 1.f;         // ≥ 0
  int top_k = 0;                   // 0: off
  float top_p = 1.f;               // (0, 1]
  float min_p = 0.f;               // [0, 1)
  float typical_p = 1.f;           // (0, 1]
  float repetition_penalty = 1.f;  // > 0; over prompt and output
  float frequency_penalty = 0.f;   // [-2, 2]; over output
  float presence_penalty = 0.f;    // [-2, 2]; over output
  std::vector<std::pair<int32_t, float>> logit_bias;  // token, addend in [-100, 100]
  uint64_t seed = 0;               // always set; a fresh random one when the client gave none
  int top_logprobs = -1;           // -1: no logprobs; 0…20: the token's own and that many best
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.f;
};

struct Sample {
  int32_t token = 0;
  float logprob = 0.f;             // of the model's own distribution; only when asked
  std::vector<TokenLogprob> top;   // best first; ties by lower id
};

// State of one sequence. Owned by the engine thread. Draw i uses (seed, i): the same text whatever
// else runs.
class Sampler {
 public:
  Sampler(SamplingParams params, std::span<const int32_t> prompt, int vocab_size,
          const kernels::KernelTable& table);

  // `logits` [vocab] may be changed. `banned`: ids that must not be drawn (ignore_eos), may be empty.
  Sample Draw(std::span<float> logits, std::span<const int32_t> banned);

  const SamplingParams& params() const { return params_; }
  uint64_t draws() const { return draws_; }

 private:
  SamplingParams params_;
  const kernels::KernelTable& table_;
  int vocab_size_;
  uint64_t draws_ = 0;
  std::unordered_map<int32_t, int> output_counts_;
  std::unordered_map<int32_t, bool> prompt_seen_;
  std::vector<std::pair<float, int32_t>> candidates_;  // scratch
};

}  // namespace pelton::sampling
