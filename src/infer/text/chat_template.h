// Chat messages → prompt tokens, by the model's own Jinja template (sandboxed, with a step limit).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace pelton::text {

struct ChatMessage {
  std::string role;      // system, developer, user, assistant, tool
  std::string content;   // parts already joined
  std::string name;          // optional
  std::string tool_call_id;  // role tool
  std::string tool_calls_json;  // role assistant: JSON array in OpenAI's shape, or empty
};

struct ChatTemplateInput {
  std::vector<ChatMessage> messages;
  std::string tools_json;   // JSON array in OpenAI's shape, or empty
  std::string kwargs_json;  // JSON object of allowed template variables, or empty
  bool add_generation_prompt = true;
  // The last message is an assistant's and the answer continues it.
  bool continue_final_message = false;
};

// How a model's answers write calls of tools.
enum class ToolSyntax : uint8_t {
  kTags,     // <tool_call>{"name":…,"arguments":…}</tool_call>: Hermes, Qwen
  kJson,     // the answer is {"name":…,"parameters":…}: Llama 3
  kMistral,  // [TOOL_CALLS][{"name":…,"arguments":…}] or [TOOL_CALLS]name[ARGS]{…}
  kPhi,      // <|tool_call|>[{"name":…,"arguments":…}]<|/tool_call|>
};

// What the template says about answers.
struct ChatTraits {
  ToolSyntax tools = ToolSyntax::kTags;
  bool knows_tools = false;     // otherwise they are told of in the system message
  bool thinks = false;          // answers may begin with <think>…</think>
  bool opens_thinking = false;  // the prompt ends with <think>
};

inline constexpr size_t kTemplateBytesMax = size_t{256} << 10;      // of the template itself
inline constexpr size_t kTemplateOutputBytesMax = size_t{4} << 20;  // of a rendered prompt
inline constexpr uint64_t kTemplateStepsMax = 2'000'000;            // about 100 a message is usual

// The role "developer" becomes "system" unless the template names it. `kwargs_json` may not set what
// the room sets itself (messages, tools, bos_token, add_generation_prompt, …: INVALID_ARGUMENT).
class ChatTemplate {  // immutable; thread-safe; refers to the tokenizer
 public:
  // Uses tokenizer.chat_template; a file without one gets a plain documented fallback
  // (ChatML when its control tokens are in the vocabulary, else "role: text" lines).
  static Result<std::unique_ptr<ChatTemplate>> FromMetadata(const format::Metadata& metadata,
                                                            const Tokenizer& tokenizer);
  virtual ~ChatTemplate() = default;
  virtual const ChatTraits& traits() const = 0;

  // The text that a person would see (control tokens written out). A template that raises, loops
  // past the step limit or grows past the output limit is INVALID_ARGUMENT with its own words.
  virtual Result<std::string> Render(const ChatTemplateInput& input) const = 0;

  // Prompt ids. Control tokens come only from the template itself: a control token's text inside a
  // message, name or tool is encoded as plain text. Exactly one BOS when the model wants one.
  virtual Result<std::vector<TokenId>> RenderTokens(const ChatTemplateInput& input) const = 0;
};

}  // namespace pelton::text
