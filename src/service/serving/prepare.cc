#include "serving/prepare.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace pelton::serving {
namespace {

using backend::Backend;
using backend::SequenceRequest;
using backend::TokenId;

constexpr float kTemperatureMin = 1e-5f;  // below it logits / temperature overflow: greedy

Result<std::vector<TokenId>> TokensOf(const Prompt& prompt, const Backend& backend) {
  if (const auto* chat = std::get_if<backend::ChatPrompt>(&prompt)) {
    return backend.ChatTokens(*chat);
  }
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
    return backend.Tokenize(text->text, {.add_special = text->add_special,
                                         .parse_special = text->parse_special});
  }
  return std::get<TokenPrompt>(prompt);
}

std::string_view ParamOf(const Prompt& prompt) {
  return std::holds_alternative<backend::ChatPrompt>(prompt) ? "messages" : "prompt";
}

Status CheckPrompt(const std::vector<TokenId>& ids, const backend::Facts& facts,
                   std::string_view param) {
  if (ids.empty()) return InvalidArgument("the prompt is empty").WithParam(std::string(param));
  if (ids.size() >= static_cast<size_t>(facts.context)) {
    return OutOfRange(fmt::format(
                          "This model's maximum context length is {} tokens, one of which is for "
                          "the answer; the prompt has {} tokens. Shorten the prompt",
                          facts.context, ids.size()))
        .WithParam(std::string(param));
  }
  if (facts.kv_tokens > 0 && ids.size() >= static_cast<size_t>(facts.kv_tokens)) {
    return OutOfRange(fmt::format("the KV cache of this model holds {} tokens, one of which is for "
                                  "the answer; the prompt has {} tokens. Shorten the prompt",
                                  facts.kv_tokens, ids.size()))
        .WithParam(std::string(param));
  }
  for (const TokenId id : ids) {
    if (id >= 0 && id < facts.vocab_size) continue;
    return InvalidArgument(fmt::format("token id {} is outside the vocabulary (0 to {})", id,
                                       facts.vocab_size - 1))
        .WithParam(std::string(param));
  }
  return OkStatus();
}

Status FillSampling(const GenerateRequest& request, const backend::Facts& facts,
                    SequenceRequest* out) {
  const SamplingWish& wish = request.sampling;
  const backend::SamplingDefaults& model = facts.sampling;
  out->temperature =
      wish.temperature.value_or(model.temperature.value_or(kTemperatureDefault));
  if (out->temperature < kTemperatureMin) out->temperature = 0.f;
  out->top_p = wish.top_p.value_or(model.top_p.value_or(1.f));
  out->min_p = std::min(wish.min_p.value_or(model.min_p.value_or(0.f)),
                        std::nextafterf(1.f, 0.f));  // 1 would leave nothing
  out->top_k = std::max(0, wish.top_k.value_or(model.top_k.value_or(0)));
  if (out->top_p <= 0.f) {  // the smallest set there is: the best token
    out->top_p = 1.f;
    out->top_k = 1;
  }
  out->typical_p = wish.typical_p.value_or(1.f);
  out->repetition_penalty =
      wish.repetition_penalty.value_or(model.repetition_penalty.value_or(1.f));
  out->frequency_penalty = wish.frequency_penalty.value_or(0.f);
  out->presence_penalty = wish.presence_penalty.value_or(0.f);
  for (const auto& [id, bias] : wish.logit_bias) {
    if (id < 0 || id >= facts.vocab_size) {
      return InvalidArgument(fmt::format("logit_bias: token id {} is outside the vocabulary "
                                         "(0 to {})", id, facts.vocab_size - 1))
          .WithParam("logit_bias");
    }
  }
  out->logit_bias = wish.logit_bias;
  out->top_logprobs = wish.top_logprobs;
  return OkStatus();
}

// Most tokens of one sequence that can ever be served.
int RoomFor(const backend::Facts& facts) {
  const int64_t kv = facts.kv_tokens > 0 ? facts.kv_tokens : facts.context;
  return static_cast<int>(std::min<int64_t>(facts.context, kv));
}

uint64_t SeedOfChoice(uint64_t seed, int choice) {
  return choice == 0 ? seed : Mix64(seed ^ Mix64(static_cast<uint64_t>(choice)));
}

}  // namespace

Result<std::vector<SequenceRequest>> Prepare(const GenerateRequest& request,
                                             const Backend& backend) {
  const backend::Facts& facts = backend.facts();
  SequenceRequest common;
  common.tenant = request.tenant;
  common.tenant_weight = request.tenant_weight;
  common.priority = request.priority;
  common.stop = request.stop;
  common.include_stop_in_text = request.include_stop_in_text;
  common.ignore_eos = request.ignore_eos;
  common.special_tokens_in_text = request.special_tokens_in_text;
  common.deadline_ns = request.deadline_ns;
  RETURN_IF_ERROR(FillSampling(request, facts, &common));
  const uint64_t seed = request.sampling.seed
                            ? static_cast<uint64_t>(*request.sampling.seed) : SecureRandom64();
  std::vector<SequenceRequest> sequences;
  sequences.reserve(request.prompts.size() * static_cast<size_t>(request.n));
  for (const Prompt& prompt : request.prompts) {
    Result<std::vector<TokenId>> ids = TokensOf(prompt, backend);
    if (!ids.ok()) {
      Status status = ids.status();
      return status.param().empty() ? std::move(status).WithParam(std::string(ParamOf(prompt)))
                                    : status;
    }
    RETURN_IF_ERROR(CheckPrompt(*ids, facts, ParamOf(prompt)));
    const int left = RoomFor(facts) - static_cast<int>(ids->size());
    for (int choice = 0; choice < request.n; ++choice) {
      SequenceRequest sequence = common;
      sequence.prompt = *ids;
      sequence.max_tokens = std::min(left, request.max_tokens.value_or(left));
      sequence.seed = SeedOfChoice(seed, choice);
      sequences.push_back(std::move(sequence));
    }
  }
  return sequences;
}

}  // namespace pelton::serving
