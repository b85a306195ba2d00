#include "api/openai/shape.h"

#include <fmt/core.h>

#include "codec/json_write.h"
#include "codec/utf8.h"

namespace pelton::api::openai {

UsageSum SumUsage(std::span<const Choice> choices, int n) {
  UsageSum sum;
  for (size_t i = 0; i < choices.size(); ++i) {
    sum.completion += choices[i].usage.completion_tokens;
    if (i % static_cast<size_t>(n) != 0) continue;
    sum.prompt += choices[i].usage.prompt_tokens;
    sum.cached += choices[i].usage.cached_tokens;
  }
  return sum;
}

std::string UsageJson(std::span<const Choice> choices, int n) {
  const UsageSum sum = SumUsage(choices, n);
  return fmt::format(
      "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},"
      "\"prompt_tokens_details\":{{\"cached_tokens\":{}}}}}",
      sum.prompt, sum.completion, sum.prompt + sum.completion, sum.cached);
}

std::string_view FinishWord(backend::FinishReason reason) {
  return reason == backend::FinishReason::kLength ? "length" : "stop";
}

std::string TokenText(std::string_view bytes) {
  if (codec::ValidUtf8(bytes)) return std::string(bytes);
  std::string out = "bytes:";
  for (const char c : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return out;
}

}  // namespace pelton::api::openai
