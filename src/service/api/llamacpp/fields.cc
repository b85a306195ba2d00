#include "api/llamacpp/fields.h"

#include "serving/request.h"

namespace pelton::api::llamacpp {
namespace {

using enum FieldKind;

constexpr FieldRow kRows[] = {
    {"model", kCompletion, kString, Effect::kHonoured, "Name from /v1/models; may be left out when only one is served."},
    {"prompt", kCompletion, kAny, Effect::kHonoured,
     "A text, whose control tokens are control tokens, or an array of token ids."},
    {"stream", kCompletion, kBool, Effect::kHonoured, "Answer as server-sent events."},
    {"n_predict", kCompletion, kInteger, Effect::kHonoured,
     "Most tokens of the answer; below 1: up to the end of the context.", -2, serving::kMaxTokensMax},
    {"temperature", kCompletion, kNumber, Effect::kHonoured, "0: always the likeliest token.", 0, 2},
    {"top_k", kCompletion, kInteger, Effect::kHonoured, "Keep so many tokens; 0 and -1: all.", -1, 1 << 20},
    {"top_p", kCompletion, kNumber, Effect::kHonoured, "Keep the likeliest tokens up to this mass.", 0, 1},
    {"min_p", kCompletion, kNumber, Effect::kHonoured, "Keep tokens at least so likely relative to the best.", 0, 1},
    {"typical_p", kCompletion, kNumber, Effect::kHonoured, "Locally typical sampling; 1: off.", 0.001, 1},
    {"repeat_penalty", kCompletion, kNumber, Effect::kHonoured, "Over prompt and answer; 1: off.", 0.01, 10},
    {"presence_penalty", kCompletion, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},
    {"frequency_penalty", kCompletion, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},
    {"seed", kCompletion, kInteger, Effect::kHonoured, "Same seed, same text; -1: a new one."},
    {"stop", kCompletion, kArray, Effect::kHonoured, "At most 16 texts, each of 1 to 256 bytes."},
    {"ignore_eos", kCompletion, kBool, Effect::kHonoured, "Go on after the model would end."},

    {"cache_prompt", kCompletion, kBool, Effect::kIgnored},
    {"id_slot", kCompletion, kInteger, Effect::kIgnored, "", 0, 0, "-1"},
    {"n_keep", kCompletion, kInteger, Effect::kIgnored},  // nothing is ever cut
    {"n_discard", kCompletion, kInteger, Effect::kIgnored},
    {"repeat_last_n", kCompletion, kInteger, Effect::kIgnored, "", 0, 0, "-1"},
    {"timings_per_token", kCompletion, kBool, Effect::kIgnored},
    {"return_progress", kCompletion, kBool, Effect::kIgnored},
    {"mirostat_tau", kCompletion, kNumber, Effect::kIgnored},  // without mirostat
    {"mirostat_eta", kCompletion, kNumber, Effect::kIgnored},

    {"n_probs", kCompletion, kInteger, Effect::kRefused},
    {"post_sampling_probs", kCompletion, kBool, Effect::kRefused},
    {"return_tokens", kCompletion, kBool, Effect::kRefused},
    {"response_fields", kCompletion, kArray, Effect::kRefused},
    {"logit_bias", kCompletion, kArray, Effect::kRefused},
    {"grammar", kCompletion, kString, Effect::kRefused},
    {"json_schema", kCompletion, kAny, Effect::kRefused},
    {"lora", kCompletion, kArray, Effect::kRefused},
    {"samplers", kCompletion, kAny, Effect::kRefused},
    {"mirostat", kCompletion, kInteger, Effect::kRefused},
    {"n_indent", kCompletion, kInteger, Effect::kRefused},
    {"t_max_predict_ms", kCompletion, kInteger, Effect::kRefused},
    {"dynatemp_range", kCompletion, kNumber, Effect::kRefused},
    {"dry_multiplier", kCompletion, kNumber, Effect::kRefused},
    {"xtc_probability", kCompletion, kNumber, Effect::kRefused},
    {"top_n_sigma", kCompletion, kNumber, Effect::kRefused, "", 0, 0, "-1"},
    {"image_data", kCompletion, kArray, Effect::kRefused},
    {"multimodal_data", kCompletion, kArray, Effect::kRefused},
};

}  // namespace

std::span<const FieldRow> FieldTable() { return kRows; }

}  // namespace pelton::api::llamacpp
