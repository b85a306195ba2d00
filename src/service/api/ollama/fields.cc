#include "api/ollama/fields.h"

#include "serving/request.h"

namespace pelton::api::ollama {
namespace {

using enum FieldKind;

constexpr uint8_t kBoth = kChat | kGenerate;
constexpr uint8_t kNamed = kShow | kPull;

constexpr FieldRow kRows[] = {
    {"model", kBoth | kNamed, kString, Effect::kHonoured, "Name from /api/tags, with or without :latest."},
    {"name", kNamed, kString, Effect::kHonoured, "As model, in older clients."},
    {"messages", kChat, kArray, Effect::kHonoured,
     "The conversation: roles system, user, assistant, tool. A last message of the assistant is continued. None: "
     "the model is loaded."},
    {"prompt", kGenerate, kString, Effect::kHonoured, "What the user says. Empty: the model is loaded."},
    {"system", kGenerate, kString, Effect::kHonoured, "The system prompt."},
    {"raw", kGenerate, kBool, Effect::kHonoured,
     "The prompt goes to the model as it is: no template, and control tokens written in it are control tokens."},
    {"stream", kBoth | kPull, kBool, Effect::kHonoured, "Answer in lines of JSON (default true)."},
    {"options", kBoth, kObject, Effect::kHonoured,
     "temperature, top_p, top_k, min_p, typical_p, num_predict, seed, stop, repeat_penalty, presence_penalty, "
     "frequency_penalty; what belongs to loading a model has no effect."},
    {"keep_alive", kBoth, kAny, Effect::kHonoured,
     "Without a prompt and 0: the model leaves memory (keys of role operator). Otherwise no effect."},
    {"logprobs", kBoth, kBool, Effect::kHonoured, "Log probabilities of the answer's tokens."},
    {"top_logprobs", kBoth, kInteger, Effect::kHonoured, "So many alternatives a token; needs logprobs.", 0,
     serving::kTopLogprobsMax},

    {"tools", kChat, kArray, Effect::kHonoured, "Functions that the model may call: at most 128 and 200 kB."},
    {"think", kBoth, kAny, Effect::kHonoured,
     "true, false, low, medium or high: for templates that leave the choice. Thoughts stand apart in any case."},

    {"truncate", kBoth, kBool, Effect::kIgnored},  // a prompt that does not fit is refused
    {"shift", kBoth, kBool, Effect::kIgnored},     // an answer ends where the context does
    {"verbose", kShow, kBool, Effect::kIgnored},
    {"insecure", kPull, kBool, Effect::kIgnored},
    {"username", kPull, kString, Effect::kIgnored},
    {"password", kPull, kString, Effect::kIgnored},
    {"system", kShow, kString, Effect::kIgnored},
    {"template", kShow, kString, Effect::kIgnored},
    {"options", kShow, kObject, Effect::kIgnored},

    {"format", kBoth, kAny, Effect::kRefused},
    {"template", kGenerate, kString, Effect::kRefused},
    {"suffix", kGenerate, kString, Effect::kRefused},
    {"context", kGenerate, kArray, Effect::kRefused},
    {"images", kGenerate, kArray, Effect::kRefused},
    {"width", kGenerate, kInteger, Effect::kRefused},
    {"height", kGenerate, kInteger, Effect::kRefused},
    {"steps", kGenerate, kInteger, Effect::kRefused},

    {"temperature", kOptions, kNumber, Effect::kHonoured, "0: always the likeliest token.", 0, 2},
    {"top_p", kOptions, kNumber, Effect::kHonoured, "Keep the likeliest tokens up to this mass.", 0, 1},
    {"top_k", kOptions, kInteger, Effect::kHonoured, "Keep so many tokens; 0 and -1: all.", -1, 1 << 20},
    {"min_p", kOptions, kNumber, Effect::kHonoured, "Keep tokens at least so likely relative to the best.", 0, 1},
    {"typical_p", kOptions, kNumber, Effect::kHonoured, "Locally typical sampling; 0 and 1: off.", 0, 1},
    {"num_predict", kOptions, kInteger, Effect::kHonoured,
     "Most tokens of the answer; 0, -1 and -2: up to the end of the context.", -2, serving::kMaxTokensMax},
    {"seed", kOptions, kInteger, Effect::kHonoured, "Same seed, same text; -1: a new one."},
    {"stop", kOptions, kAny, Effect::kHonoured, "A text or at most 16, each of 1 to 256 bytes."},
    {"repeat_penalty", kOptions, kNumber, Effect::kHonoured, "Over prompt and answer; 0 and 1: off.", 0, 10},
    {"repeat_last_n", kOptions, kInteger, Effect::kHonoured,
     "0: no repeat_penalty; otherwise no effect, it sees all.", -1, 1 << 20},
    {"frequency_penalty", kOptions, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},
    {"presence_penalty", kOptions, kNumber, Effect::kHonoured, "Over the answer.", -2, 2},

    // How a model is loaded is the operator's to say.
    {"num_ctx", kOptions, kInteger, Effect::kIgnored},
    {"num_keep", kOptions, kInteger, Effect::kIgnored},
    {"num_batch", kOptions, kInteger, Effect::kIgnored},
    {"num_gpu", kOptions, kInteger, Effect::kIgnored},
    {"main_gpu", kOptions, kInteger, Effect::kIgnored},
    {"num_thread", kOptions, kInteger, Effect::kIgnored},
    {"numa", kOptions, kBool, Effect::kIgnored},
    {"low_vram", kOptions, kBool, Effect::kIgnored},
    {"f16_kv", kOptions, kBool, Effect::kIgnored},
    {"use_mmap", kOptions, kBool, Effect::kIgnored},
    {"use_mlock", kOptions, kBool, Effect::kIgnored},
    {"vocab_only", kOptions, kBool, Effect::kIgnored},
    {"logits_all", kOptions, kBool, Effect::kIgnored},
    {"embedding_only", kOptions, kBool, Effect::kIgnored},
    {"penalize_newline", kOptions, kBool, Effect::kIgnored, "", 0, 0, "true"},
    {"mirostat_tau", kOptions, kNumber, Effect::kIgnored},  // without mirostat
    {"mirostat_eta", kOptions, kNumber, Effect::kIgnored},
    {"mirostat", kOptions, kInteger, Effect::kRefused},
    {"tfs_z", kOptions, kNumber, Effect::kRefused, "", 0, 0, "1"},
};

}  // namespace

std::span<const FieldRow> FieldTable() { return kRows; }

}  // namespace pelton::api::ollama
