// Messages, tools and variables of a request, and short templates: an error, or a prompt in which
// only the template wrote control tokens.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "text/test_model.h"

namespace {

using pelton::text::ChatTemplate;
using pelton::text::ChatTemplateInput;
using pelton::text::TokenId;

// Writes <|im_start|> once and shows whatever a request holds.
constexpr const char* kShowAll =
    "{{ '<|im_start|>' }}{% for m in messages %}{{ m.role }}{{ m.content }}{{ m.name }}{{ m.content | trim }}"
    "{{ m.tool_call_id }}{{ m.tool_calls | tojson }}{{ m.tool_calls }}{% endfor %}{{ tools | tojson }}{{ x }}";
// Too short for a template that doubles a string in a loop: memory is not what is looked for here.
constexpr size_t kTemplateBytesMaxHere = 48;

struct Served {
  pelton::format::Metadata metadata;
  std::unique_ptr<pelton::text::Tokenizer> tokenizer;
};

const Served& Base() {
  static const Served served = [] {
    static const pelton::text::TestModel model = pelton::text::ByteLevelModel();
    Served out{model.Build(), nullptr};
    out.tokenizer = model.Load().value();
    return out;
  }();
  return served;
}

ChatTemplateInput Request(FuzzedDataProvider& in) {
  ChatTemplateInput input;
  input.add_generation_prompt = in.ConsumeBool();
  input.continue_final_message = in.ConsumeBool();
  for (int n = in.ConsumeIntegralInRange(0, 3); n > 0; --n) {
    auto m = pelton::text::Says(in.ConsumeRandomLengthString(16), in.ConsumeRandomLengthString(64));
    m.name = in.ConsumeRandomLengthString(16);
    m.tool_call_id = in.ConsumeRandomLengthString(16);
    if (in.ConsumeBool()) m.tool_calls_json = in.ConsumeRandomLengthString(128);
    input.messages.push_back(std::move(m));
  }
  if (in.ConsumeBool()) input.tools_json = in.ConsumeRandomLengthString(256);
  if (in.ConsumeBool()) input.kwargs_json = in.ConsumeRandomLengthString(64);
  return input;
}

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  const Served& base = Base();
  const ChatTemplateInput input = Request(in);
  const bool own = in.ConsumeBool();
  const std::string source =
      own ? in.ConsumeRandomLengthString(kTemplateBytesMaxHere) : std::string(kShowAll);
  pelton::format::Metadata metadata = base.metadata;
  metadata.Set("tokenizer.chat_template", std::string_view(source));
  const auto chat = ChatTemplate::FromMetadata(metadata, *base.tokenizer);
  if (!chat.ok()) {
    Require(own && chat.status().code() == pelton::StatusCode::kInvalidArgument);
    return 0;
  }
  const auto ids = (*chat)->RenderTokens(input);
  const auto text = (*chat)->Render(input);
  Require(ids.ok() == text.ok());
  if (!ids.ok()) {
    Require(ids.status().code() == pelton::StatusCode::kInvalidArgument);
    return 0;
  }
  Require(pelton::codec::ValidUtf8(*text));
  const auto control = [&](TokenId id) { return base.tokenizer->IsControl(id); };
  if (!own) {
    Require(std::count_if(ids->begin(), ids->end(), control) == 1);
    Require(base.tokenizer->Decode(*ids, true) == *text);
  }
  return 0;
}
