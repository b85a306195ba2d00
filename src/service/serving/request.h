// A request to generate, as every API hands it over: no wire format's names in here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "backend/backend.h"

namespace pelton::serving {

// Bounds of a request. Each API refuses what is beyond them, naming its own field.
inline constexpr int kChoicesMax = 8;               // n
inline constexpr int kPromptsMax = 256;             // prompts of one request
inline constexpr int kSequencesOfRequestMax = 256;  // prompts × n
inline constexpr int kMessagesMax = 2048;
inline constexpr int kPartsMax = 1024;              // content parts of one message
inline constexpr int kStopsMax = 16;
inline constexpr size_t kStopBytesMax = 256;
inline constexpr int kLogitBiasMax = 1024;
inline constexpr int kTopLogprobsMax = 20;
inline constexpr int kMaxTokensMax = 1 << 20;
inline constexpr int kPriorityMax = 100;
inline constexpr int kTimeoutMaxS = 86'400;

struct TextPrompt {
  std::string text;
  bool add_special = true;  // BOS in front when the model wants one
  bool parse_special = false;  // control tokens written in the text become their ids
};
using TokenPrompt = std::vector<backend::TokenId>;
using Prompt = std::variant<backend::ChatPrompt, TextPrompt, TokenPrompt>;

// What the client said; what it did not say comes from the model, then from the constants below.
struct SamplingWish {
  std::optional<float> temperature, top_p, min_p, typical_p;
  std::optional<float> repetition_penalty, frequency_penalty, presence_penalty;
  std::optional<int> top_k;
  std::optional<int64_t> seed;
  std::vector<std::pair<backend::TokenId, float>> logit_bias;  // ids not yet checked
  int top_logprobs = -1;
};

inline constexpr float kTemperatureDefault = 1.f;  // OpenAI's

struct GenerateRequest {
  std::string model;  // empty: the only one
  std::vector<Prompt> prompts;
  int n = 1;
  SamplingWish sampling;
  std::optional<int> max_tokens;  // nothing: all that is left of the context
  std::vector<std::string> stop;
  bool include_stop_in_text = false;
  bool ignore_eos = false;
  bool special_tokens_in_text = false;

  std::string id;            // as the client knows it; for the log of requests
  std::string tenant;
  double tenant_weight = 1;
  int priority = 0;          // higher first
  int64_t arrived_ns = 0;   // monotonic
  int64_t deadline_ns = 0;  // monotonic; 0: none
};

}  // namespace pelton::serving
