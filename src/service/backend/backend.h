// The one face behind which text is generated: the own engine (native/), a simulation (sim/), later
// plug-ins and remote engines. Plain types only, so that a gateway builds without the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace pelton::backend {

using TokenId = int32_t;
using RequestId = uint64_t;

// What a model file or family wishes when a request says nothing.
struct SamplingDefaults {
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
};

// How a model's answers write calls of tools: text::ToolSyntax says it.
enum class ToolSyntax : uint8_t { kTags, kJson, kMistral, kPhi };

// What is known about the model once it is loaded. Constant.
struct Facts {
  std::string kind;          // "native" or "sim"
  std::string architecture;  // "llama"; "sim" for a simulation
  std::string quantization;  // "Q4_1", or empty
  uint64_t parameters = 0;
  int context = 0;           // most tokens of one sequence, prompt and answer together
  int vocab_size = 0;
  int sequences_max = 0;     // running and queued at once; one more is refused
  int64_t kv_tokens = 0;     // positions that the KV cache holds in all
  SamplingDefaults sampling;
  ToolSyntax tools = ToolSyntax::kTags;
  bool thinks = false;          // answers may begin with <think>…</think>
  bool opens_thinking = false;  // chat prompts end with <think>
};

struct Message {
  std::string role;             // system, developer, user, assistant, tool
  std::string content;          // parts already joined
  std::string name;             // optional
  std::string tool_call_id;     // role tool
  std::string tool_calls_json;  // role assistant: JSON array in OpenAI's shape, or empty
};

struct ChatPrompt {
  std::vector<Message> messages;
  std::string tools_json;   // JSON array in OpenAI's shape, or empty
  std::string kwargs_json;  // JSON object of allowed template variables, or empty
  std::string answer_prefix;  // what the answer begins with: put behind the generation prompt
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the answer goes on where the last message ends
};

struct TokenizeOptions {
  bool add_special = false;    // BOS in front when the model wants one
  bool parse_special = false;  // control tokens written in the text become their ids
};

// One sequence to generate, with every default resolved.
struct SequenceRequest {
  std::string tenant;
  double tenant_weight = 1;     // part of the machine relative to the other tenants'
  int priority = 0;             // higher first
  std::vector<TokenId> prompt;  // 1 … context - 1 ids, each in [0, vocab_size)
  float temperature = 1.f;
  int top_k = 0;                // 0: off
  float top_p = 1.f;
  float min_p = 0.f;
  float typical_p = 1.f;
  float repetition_penalty = 1.f;
  float frequency_penalty = 0.f;
  float presence_penalty = 0.f;
  std::vector<std::pair<TokenId, float>> logit_bias;
  uint64_t seed = 0;
  int top_logprobs = -1;        // -1: none; 0…20: the token's own and that many best
  int max_tokens = 1;
  std::vector<std::string> stop;
  bool include_stop_in_text = false;
  bool ignore_eos = false;
  bool special_tokens_in_text = false;
  int64_t deadline_ns = 0;      // monotonic; 0: none
};

struct TokenLogprob {
  std::string bytes;  // what the token stands for; may be a part of a UTF-8 character
  float logprob = 0.f;
};

struct TokenOut {
  TokenId id = 0;
  std::string bytes;
  float logprob = 0.f;
  std::vector<TokenLogprob> top;  // best first
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kError };

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
  int64_t queue_ns = 0;        // submit → first planned
  int64_t first_token_ns = 0;  // submit → first token
  int64_t total_ns = 0;
  int decode_steps = 0;        // steps with its newest token
  int prompt_chunks = 0;       // steps with a part of its prompt
  int preemptions = 0;         // times it was put off and computed again
  // Waiting, by what for.
  int64_t wait_places_ns = 0;  // a place in the batch
  int64_t wait_blocks_ns = 0;  // KV blocks
  int64_t wait_rows_ns = 0;    // others' prompts were before it
  int64_t wait_reader_ns = 0;  // its own reader was behind
};

// What a step added to one sequence. `text` is valid UTF-8.
struct Delta {
  std::string text;
  std::vector<TokenOut> tokens;  // only with logprobs: those whose text is out
  std::optional<FinishReason> finish;  // on the last delta, exactly once
  std::string stop_match;              // the stop string that ended it, if one did
  Usage usage;
  Status error;  // with kError
};

// Receives deltas on the backend's thread; must not block. kPause: do not step this sequence again
// until Resume.
enum class Flow : uint8_t { kContinue, kPause };
class DeltaSink {
 public:
  virtual ~DeltaSink() = default;
  virtual Flow OnDelta(Delta&& delta) = 0;
};

// Counts of values by upper bound; `counts` has one more, for those beyond.
struct Spread {
  std::vector<double> bounds;
  std::vector<uint64_t> counts;
};

struct Stats {
  int running = 0, waiting = 0;
  int kv_blocks = 0, kv_blocks_used = 0;
  uint64_t steps = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;
  uint64_t computed_tokens = 0;  // rows of all steps, prompts and answers
  // Prefix cache: prompt tokens looked up and found, blocks evicted, blocks kept that nobody holds.
  uint64_t prefix_queried_tokens = 0, prefix_hit_tokens = 0, prefix_evictions = 0;
  int prefix_idle_blocks = 0;
  // Speculation: steps of a sequence with guessed tokens, these tokens, of those the right ones.
  uint64_t drafts = 0, draft_tokens = 0, accepted_draft_tokens = 0;
  int64_t heartbeat_ns = 0;  // the loop's last turn, idle or not (monotonic)
  uint64_t decode_rows = 0, prompt_rows = 0;  // computed in all steps
  int64_t tbt_target_ns = 0;     // wanted time between tokens, in the last step
  int prompt_rows_allowed = 0;   // prompt rows beside decoding ones, in the last step
  Spread step_ms, batch;         // of steps: their time, their sequences
};

class Backend {  // thread-safe
 public:
  virtual ~Backend() = default;  // cancels what runs, joins its threads
  virtual const Facts& facts() const = 0;

  // Text work; costs CPU, so callers use the prep pool. Errors: INVALID_ARGUMENT.
  virtual Result<std::vector<TokenId>> ChatTokens(const ChatPrompt& prompt) const = 0;
  virtual Result<std::vector<TokenId>> Tokenize(std::string_view text,
                                                const TokenizeOptions& options) const = 0;
  // Ids must be in [0, vocab_size): the caller checks.
  virtual std::string Detokenize(std::span<const TokenId> ids, bool special) const = 0;
  virtual std::string TokenPiece(TokenId id) const = 0;

  virtual RequestId NextRequestId() = 0;
  // RESOURCE_EXHAUSTED with retry-after: queue full. UNAVAILABLE: draining. After OK the sink hears
  // exactly one finish.
  virtual Status Submit(RequestId id, SequenceRequest request,
                        std::shared_ptr<DeltaSink> sink) = 0;
  virtual void Cancel(RequestId id) = 0;  // unknown ids are ignored
  virtual void Resume(RequestId id) = 0;
  virtual Stats GetStats() const = 0;
  virtual void CloseIntake() = 0;         // refuses new work; what runs goes on
};

}  // namespace pelton::backend
