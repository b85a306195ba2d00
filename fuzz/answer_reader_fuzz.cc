// Reading a model's answer for thoughts and calls of tools: any text, in any cuts, gives the same parts.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "api/turn/answer_reader.h"

namespace {

using pelton::api::turn::AnswerPart;
using pelton::api::turn::AnswerReader;

std::vector<AnswerPart> Read(const pelton::api::turn::AnswerRules& rules, std::string_view text, size_t cut) {
  AnswerReader reader(rules);
  std::vector<AnswerPart> all;
  const auto join = [&](const std::vector<AnswerPart>& parts) {
    for (const AnswerPart& part : parts) {
      const bool joins = !all.empty() && part.kind != AnswerPart::Kind::kCall && all.back().kind == part.kind &&
                         all.back().call == part.call;
      if (joins) {
        all.back().text += part.text;
      } else {
        all.push_back(part);
      }
    }
  };
  while (!text.empty()) {
    std::vector<AnswerPart> parts;
    reader.Push(text.substr(0, cut), &parts);
    join(parts);
    text.remove_prefix(std::min(cut, text.size()));
  }
  std::vector<AnswerPart> parts;
  reader.Finish(&parts);
  join(parts);
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  pelton::api::turn::AnswerRules rules;
  rules.syntax = static_cast<pelton::backend::ToolSyntax>(data[0] % 4);
  rules.tools = {"add", "w"};
  rules.thinks = (data[0] & 4) != 0;
  rules.opens_thinking = (data[0] & 8) != 0;
  rules.one_call = (data[0] & 16) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = Read(rules, text, text.size() + 1);
  if (Read(rules, text, 1) != whole || Read(rules, text, 3) != whole) std::abort();
  return 0;
}
