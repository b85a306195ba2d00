#include "api/openai/fields.h"

#include "serving/request.h"

namespace pelton::api::openai {
namespace {

using codec::Json;
using enum FieldKind;

constexpr uint8_t kGenerate = kChat | kCompletions;
constexpr uint8_t kAll = kChat | kCompletions | kTokenize | kDetokenize;

constexpr FieldRow kRows[] = {
    {"model", kAll, kString, Effect::kHonoured,
     "Name from /v1/models; may be left out when only one is served."},
    {"messages", kChat | kTokenize, kArray, Effect::kHonoured,
     "The conversation; roles system, developer, user, assistant, tool."},
    {"prompt", kCompletions | kTokenize, kAny, Effect::kHonoured,
     "Text, token ids, or an array of either."},
    {"stream", kGenerate, kBool, Effect::kHonoured, "Answer as server-sent events."},
    {"stream_options", kGenerate, kObject, Effect::kHonoured,
     "include_usage: a last chunk with the usage."},
    {"n", kGenerate, kInteger, Effect::kHonoured,
     "Answers to each prompt.", 1, serving::kChoicesMax},
    {"max_tokens", kGenerate, kInteger, Effect::kHonoured,
     "Most tokens of an answer; clamped to what is left of the context.", 1,
     serving::kMaxTokensMax},
    {"max_completion_tokens", kChat, kInteger, Effect::kHonoured,
     "As max_tokens, and wins over it.", 1, serving::kMaxTokensMax},
    {"temperature", kGenerate, kNumber, Effect::kHonoured, "0: always the likeliest token.", 0, 2},
    {"top_p", kGenerate, kNumber, Effect::kHonoured,
     "Keep the likeliest tokens up to this mass.", 0, 1},
    {"top_k", kGenerate, kInteger, Effect::kHonoured,
     "Keep so many tokens; 0 and -1: all.", -1, 1 << 20},
    {"min_p", kGenerate, kNumber, Effect::kHonoured,
     "Keep tokens at least so likely relative to the best.", 0, 1},
    {"typical_p", kGenerate, kNumber, Effect::kHonoured,
     "Locally typical sampling; 1: off.", 0.001, 1},
    {"repetition_penalty", kGenerate, kNumber, Effect::kHonoured,
     "Over prompt and answer; 1: off.", 0.01, 10},
    {"frequency_penalty", kGenerate, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},
    {"presence_penalty", kGenerate, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},
    {"logit_bias", kGenerate, kObject, Effect::kHonoured,
     "Token id to an addend from -100 to 100; at most 1024."},
    {"seed", kGenerate, kInteger, Effect::kHonoured, "Same seed, same text. Any 64-bit integer."},
    {"timeout", kGenerate, kNumber, Effect::kHonoured,
     "Seconds in which the request must have begun; while it still waits then it is dropped (504).",
     0.001, serving::kTimeoutMaxS},
    {"priority", kGenerate, kInteger, Effect::kHonoured,
     "Lower goes first, as vLLM's; 0 is normal. Below 0 needs a key of role operator.",
     -serving::kPriorityMax, serving::kPriorityMax},
    {"timings", kGenerate, kBool, Effect::kHonoured,
     "Say in the answer where the time went: waiting, prompt, steps, preemptions."},
    {"stop", kGenerate, kAny, Effect::kHonoured, "A string or at most 16, each of 1 to 256 bytes."},
    {"logprobs", kChat, kBool, Effect::kHonoured, "Log probabilities of the answer's tokens."},
    {"logprobs", kCompletions, kInteger, Effect::kHonoured,
     "Log probabilities of so many tokens beside the chosen one.", 0, serving::kTopLogprobsMax},
    {"top_logprobs", kChat, kInteger, Effect::kHonoured,
     "So many alternatives a token; needs logprobs.", 0, serving::kTopLogprobsMax},
    {"ignore_eos", kGenerate, kBool, Effect::kHonoured, "Go on after the model would end."},
    {"include_stop_str_in_output", kGenerate, kBool, Effect::kHonoured,
     "Keep the stop string that ended the answer."},
    {"skip_special_tokens", kGenerate, kBool, Effect::kHonoured,
     "false: control tokens show in the text."},
    {"add_special_tokens", kCompletions | kTokenize, kBool, Effect::kHonoured,
     "BOS in front when the model wants one (default true)."},
    {"add_generation_prompt", kChat | kTokenize, kBool, Effect::kHonoured,
     "Open the assistant's turn (default true)."},
    {"continue_final_message", kChat | kTokenize, kBool, Effect::kHonoured,
     "The answer continues the last message, an assistant's."},
    {"chat_template_kwargs", kChat | kTokenize, kObject, Effect::kHonoured,
     "Template variables: enable_thinking, thinking, reasoning_effort."},
    {"response_format", kChat, kObject, Effect::kHonoured, "Only {\"type\": \"text\"}."},
    {"tools", kChat | kTokenize, kArray, Effect::kHonoured,
     "Functions that the model may call: at most 128 and 200 kB."},
    {"tool_choice", kChat, kAny, Effect::kHonoured,
     "none, auto, required, or the function that the answer must call."},
    {"parallel_tool_calls", kChat, kBool, Effect::kHonoured,
     "false: the answer ends with its first call."},
    {"function_call", kChat, kAny, Effect::kHonoured, "Only none and auto."},
    {"content", kTokenize, kString, Effect::kHonoured, "As prompt, in llama.cpp's shape."},
    {"add_special", kTokenize, kBool, Effect::kHonoured,
     "With content: BOS in front when the model wants one."},
    {"parse_special", kTokenize, kBool, Effect::kHonoured,
     "Control tokens written in the text become their ids (default false)."},
    {"with_pieces", kTokenize, kBool, Effect::kHonoured, "With content: each token with its text."},
    {"return_token_strs", kTokenize, kBool, Effect::kHonoured,
     "With prompt: the tokens' names too."},
    {"tokens", kDetokenize, kArray, Effect::kHonoured, "Token ids."},

    {"user", kGenerate, kString, Effect::kIgnored},
    {"safety_identifier", kGenerate, kString, Effect::kIgnored},
    {"prompt_cache_key", kGenerate, kString, Effect::kIgnored},
    {"prompt_cache_retention", kGenerate, kString, Effect::kIgnored},
    {"metadata", kGenerate, kObject, Effect::kIgnored},
    {"prediction", kChat, kObject, Effect::kIgnored},
    {"verbosity", kChat, kString, Effect::kIgnored},
    {"reasoning_effort", kChat, kString, Effect::kIgnored},
    {"service_tier", kGenerate, kString, Effect::kIgnored, "", 0, 0, "\"auto\""},
    {"request_id", kGenerate, kString, Effect::kIgnored},
    {"cache_prompt", kGenerate, kBool, Effect::kIgnored},
    {"spaces_between_special_tokens", kGenerate, kBool, Effect::kIgnored, "", 0, 0, "true"},

    {"functions", kChat, kArray, Effect::kRefused},
    {"echo", kCompletions, kBool, Effect::kRefused},
    {"suffix", kCompletions, kString, Effect::kRefused},
    {"best_of", kCompletions, kInteger, Effect::kRefused, "", 0, 0, "1"},
    {"store", kChat, kBool, Effect::kRefused},
    {"audio", kChat, kObject, Effect::kRefused},
    {"modalities", kChat, kArray, Effect::kRefused, "", 0, 0, "[\"text\"]"},
    {"web_search_options", kChat, kObject, Effect::kRefused},
    {"response_format", kCompletions, kObject, Effect::kRefused, "", 0, 0, "{\"type\":\"text\"}"},
    {"stop_token_ids", kGenerate, kArray, Effect::kRefused},
    {"min_tokens", kGenerate, kInteger, Effect::kRefused},
    {"bad_words", kGenerate, kArray, Effect::kRefused},
    {"allowed_token_ids", kGenerate, kArray, Effect::kRefused},
    {"use_beam_search", kGenerate, kBool, Effect::kRefused},
    {"length_penalty", kGenerate, kNumber, Effect::kRefused, "", 0, 0, "1"},
    {"prompt_logprobs", kGenerate, kInteger, Effect::kRefused},
    {"prompt_embeds", kCompletions, kAny, Effect::kRefused},
    {"truncate_prompt_tokens", kGenerate, kInteger, Effect::kRefused},
    {"return_token_ids", kGenerate, kBool, Effect::kRefused},
    {"return_tokens_as_token_ids", kGenerate, kBool, Effect::kRefused},
    {"logits_processors", kGenerate, kAny, Effect::kRefused},
    {"guided_json", kGenerate, kAny, Effect::kRefused},
    {"guided_regex", kGenerate, kAny, Effect::kRefused},
    {"guided_choice", kGenerate, kAny, Effect::kRefused},
    {"guided_grammar", kGenerate, kAny, Effect::kRefused},
    {"structured_outputs", kGenerate, kAny, Effect::kRefused},
    {"grammar", kGenerate, kAny, Effect::kRefused},
    {"json_schema", kGenerate, kAny, Effect::kRefused},
    {"chat_template", kChat | kTokenize, kString, Effect::kRefused},
    {"documents", kChat, kArray, Effect::kRefused},
    {"mirostat", kGenerate, kInteger, Effect::kRefused},
    {"dry_multiplier", kGenerate, kNumber, Effect::kRefused},
    {"xtc_probability", kGenerate, kNumber, Effect::kRefused},
    {"dynatemp_range", kGenerate, kNumber, Effect::kRefused},
    {"top_n_sigma", kGenerate, kNumber, Effect::kRefused, "", 0, 0, "-1"},
    {"repeat_penalty", kGenerate, kNumber, Effect::kRefused, "", 0, 0, "1"},
    {"n_predict", kGenerate, kInteger, Effect::kRefused, "", 0, 0, "-1"},
};

}  // namespace

std::span<const FieldRow> FieldTable() { return kRows; }

const FieldRow* FindField(Endpoint endpoint, std::string_view name) {
  return api::FindField(kRows, endpoint, name);
}

Status CheckFields(const Json& body, Endpoint endpoint, bool strict, std::vector<std::string>* ignored) {
  return api::CheckFields(body, kRows, endpoint, strict, ignored);
}

}  // namespace pelton::api::openai
