#include "backend/native/convert.h"

#include <utility>

namespace pelton::backend {
namespace {

FinishReason FromEngine(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::kStop: return FinishReason::kStop;
    case engine::FinishReason::kLength: return FinishReason::kLength;
    case engine::FinishReason::kCancelled: return FinishReason::kCancelled;
    case engine::FinishReason::kError: return FinishReason::kError;
  }
  return FinishReason::kError;
}

// Control tokens show by name: in logprobs every token needs a text.
std::string BytesOf(const text::Tokenizer& tokenizer, TokenId id) {
  return std::string(tokenizer.Bytes(id, /*special=*/true));
}

}  // namespace

engine::EngineRequest ToEngine(engine::RequestId id, SequenceRequest&& request) {
  engine::EngineRequest out;
  out.id = id;
  out.tenant = std::move(request.tenant);
  out.tenant_weight = request.tenant_weight;
  out.priority = request.priority;
  out.prompt = std::move(request.prompt);
  sampling::SamplingParams& sampling = out.sampling;
  sampling.temperature = request.temperature;
  sampling.top_k = request.top_k;
  sampling.top_p = request.top_p;
  sampling.min_p = request.min_p;
  sampling.typical_p = request.typical_p;
  sampling.repetition_penalty = request.repetition_penalty;
  sampling.frequency_penalty = request.frequency_penalty;
  sampling.presence_penalty = request.presence_penalty;
  sampling.logit_bias = std::move(request.logit_bias);
  sampling.seed = request.seed;
  sampling.top_logprobs = request.top_logprobs;
  out.max_tokens = request.max_tokens;
  out.stop = std::move(request.stop);
  out.include_stop_in_text = request.include_stop_in_text;
  out.ignore_eos = request.ignore_eos;
  out.special_tokens_in_text = request.special_tokens_in_text;
  out.deadline_ns = request.deadline_ns;
  return out;
}

Delta FromEngine(engine::Delta&& delta, const text::Tokenizer& tokenizer) {
  Delta out;
  out.text = std::move(delta.text);
  out.tokens.reserve(delta.tokens.size());
  for (const engine::TokenOut& token : delta.tokens) {
    TokenOut converted{token.id, BytesOf(tokenizer, token.id), token.logprob, {}};
    converted.top.reserve(token.top.size());
    for (const sampling::TokenLogprob& top : token.top) {
      converted.top.push_back({BytesOf(tokenizer, top.token), top.logprob});
    }
    out.tokens.push_back(std::move(converted));
  }
  if (delta.finish) out.finish = FromEngine(*delta.finish);
  out.stop_match = std::move(delta.stop_match);
  const engine::Usage& usage = delta.usage;
  out.usage = {.prompt_tokens = usage.prompt_tokens,
               .completion_tokens = usage.completion_tokens,
               .cached_tokens = usage.cached_tokens,
               .queue_ns = usage.queue_ns,
               .first_token_ns = usage.first_token_ns,
               .total_ns = usage.total_ns,
               .decode_steps = usage.decode_steps,
               .prompt_chunks = usage.prompt_chunks,
               .preemptions = usage.preemptions,
               .wait_places_ns = usage.wait_places_ns,
               .wait_blocks_ns = usage.wait_blocks_ns,
               .wait_rows_ns = usage.wait_rows_ns,
               .wait_reader_ns = usage.wait_reader_ns};
  out.error = std::move(delta.error);
  return out;
}

static_assert(static_cast<int>(ToolSyntax::kPhi) == static_cast<int>(text::ToolSyntax::kPhi));

text::ChatTemplateInput ToText(const ChatPrompt& prompt) {
  text::ChatTemplateInput input;
  for (const Message& message : prompt.messages) {
    input.messages.push_back({message.role, message.content, message.name, message.tool_call_id,
                              message.tool_calls_json});
  }
  input.tools_json = prompt.tools_json;
  input.kwargs_json = prompt.kwargs_json;
  input.add_generation_prompt = prompt.add_generation_prompt;
  input.continue_final_message = prompt.continue_final_message;
  return input;
}

Facts FactsOf(const engine::Engine& engine, const text::ChatTemplate& chat_template) {
  const models::ModelInfo& info = engine.info();
  Facts facts;
  facts.kind = "native";
  facts.architecture = info.architecture;
  facts.quantization = info.quantization;
  facts.parameters = info.parameters;
  facts.context = engine.context();
  facts.vocab_size = info.vocab_size;
  facts.sequences_max = engine.sequences_max();
  facts.kv_tokens = engine.kv_tokens();
  facts.sampling = {info.sampling.temperature, info.sampling.top_p, info.sampling.min_p,
                    info.sampling.repetition_penalty, info.sampling.top_k};
  const text::ChatTraits& traits = chat_template.traits();
  facts.tools = static_cast<ToolSyntax>(traits.tools);
  facts.thinks = traits.thinks;
  facts.opens_thinking = traits.opens_thinking;
  return facts;
}

}  // namespace pelton::backend
