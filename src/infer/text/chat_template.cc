#include "text/chat_template.h"

#include <ctime>
#include <utility>

#include <fmt/format.h>

#include "codec/utf8.h"
#include "text/chat_traits.h"
#include "text/literal_matcher.h"
#include "text/rust_abi.h"

namespace pelton::text {
namespace {

constexpr std::string_view kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
constexpr std::string_view kLines =
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";

struct Rendered {
  std::string text;    // with markers
  std::string marker;  // UTF-8
};

std::string Without(std::string_view text, std::string_view marker) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  for (size_t found = 0; (found = text.find(marker, at)) != std::string_view::npos;) {
    out.append(text.substr(at, found - at));
    at = found + marker.size();
  }
  out.append(text.substr(at));
  return out;
}

class JinjaTemplate final : public ChatTemplate {
 public:
  JinjaTemplate(const Tokenizer& tokenizer, LiteralMatcher control, pelton_rust_template* raw,
                std::string_view source)
      : tokenizer_(tokenizer), control_(std::move(control)), template_(raw),
        knows_developer_(source.find("developer") != std::string_view::npos),
        traits_{.tools = ToolSyntaxOf(source), .knows_tools = KnowsTools(source), .thinks = Thinks(source)} {
    if (traits_.thinks) traits_.opens_thinking = OpensThinking();
  }

  const ChatTraits& traits() const override { return traits_; }

  Result<std::string> Render(const ChatTemplateInput& input) const override {
    const auto rendered = Run(input);
    RETURN_IF_ERROR(rendered.status());
    return Without(rendered->text, rendered->marker);
  }

  Result<std::vector<TokenId>> RenderTokens(const ChatTemplateInput& input) const override {
    const auto rendered = Run(input);
    RETURN_IF_ERROR(rendered.status());
    const std::string_view text = rendered->text;
    std::vector<TokenId> ids;
    const auto encode_plain = [&](std::string_view part) -> Status {
      if (part.empty()) return {};
      const auto plain = tokenizer_.Encode(Without(part, rendered->marker), {});
      RETURN_IF_ERROR(plain.status());
      ids.insert(ids.end(), plain->begin(), plain->end());
      return {};
    };
    size_t at = 0;
    while (at < text.size()) {
      const LiteralMatcher::Match found = control_.Find(text, at);
      if (found.size == 0) break;
      RETURN_IF_ERROR(encode_plain(text.substr(at, found.begin - at)));
      ids.push_back(found.id);
      at = found.begin + found.size;
    }
    RETURN_IF_ERROR(encode_plain(text.substr(at)));
    WithOneBos(&ids);
    return ids;
  }

 private:
  struct Free {
    void operator()(pelton_rust_template* raw) const { pelton_rust_template_free(raw); }
  };

  // Templates write BOS or leave it to the tokenizer; some do what the tokenizer does again. A model
  // whose BOS also opens every turn (ChatML's <|im_start|>) wants none of its own.
  void WithOneBos(std::vector<TokenId>* ids) const {
    if (!tokenizer_.add_bos()) return;
    const TokenId bos = tokenizer_.bos();
    size_t leading = 0;
    while (leading < ids->size() && (*ids)[leading] == bos) ++leading;
    if (leading == 0) ids->insert(ids->begin(), bos);
    if (leading > 1) ids->erase(ids->begin(), ids->begin() + static_cast<ptrdiff_t>(leading - 1));
  }

  // Whether a prompt of one short message ends with an open <think>.
  bool OpensThinking() const {
    ChatTemplateInput input;
    input.messages.emplace_back();
    input.messages.back().role = "user";
    input.messages.back().content = "Hello";
    const auto prompt = Render(input);
    if (!prompt.ok()) return false;
    const size_t end = prompt->find_last_not_of(" \n\r\t");
    return end != std::string::npos && std::string_view(*prompt).substr(0, end + 1).ends_with("<think>");
  }

  Result<Rendered> Run(const ChatTemplateInput& input) const;
  Result<Rendered> RunTemplate(const ChatTemplateInput& input) const;

  const Tokenizer& tokenizer_;
  const LiteralMatcher control_;
  const std::unique_ptr<pelton_rust_template, Free> template_;
  const bool knows_developer_;
  ChatTraits traits_;
};

Result<Rendered> JinjaTemplate::Run(const ChatTemplateInput& input) const {
  if (traits_.knows_tools || !SpeaksOfTools(input)) return RunTemplate(input);
  const auto told = WithGenericTools(input);
  RETURN_IF_ERROR(told.status());
  return RunTemplate(*told);
}

Result<Rendered> JinjaTemplate::RunTemplate(const ChatTemplateInput& input) const {
  if (input.continue_final_message &&
      (input.messages.empty() || input.messages.back().role != "assistant")) {
    return InvalidArgument("only a final message of the assistant can be continued");
  }
  std::vector<pelton_rust_message> messages;
  messages.reserve(input.messages.size());
  for (const ChatMessage& m : input.messages) {
    const bool as_system = m.role == "developer" && !knows_developer_;
    messages.push_back({RustStr(as_system ? "system" : std::string_view(m.role)), RustStr(m.content),
                        RustStr(m.name), RustStr(m.tool_call_id), RustStr(m.tool_calls_json)});
  }
  pelton_rust_request request{};
  request.messages = messages.data();
  request.message_count = messages.size();
  request.tools_json = RustStr(input.tools_json);
  request.kwargs_json = RustStr(input.kwargs_json);
  request.bos = RustStr(tokenizer_.Piece(tokenizer_.bos()));
  request.eos = RustStr(tokenizer_.Piece(tokenizer_.eos()));
  request.add_generation_prompt = input.add_generation_prompt && !input.continue_final_message;
  request.continue_final_message = input.continue_final_message;
  request.steps_max = kTemplateStepsMax;
  request.output_bytes_max = kTemplateOutputBytesMax;
  request.now_seconds = std::time(nullptr);
  RustBytes out;
  RustBytes error;
  uint32_t marker = 0;
  RETURN_IF_ERROR(RustStatus(
      pelton_rust_template_render(template_.get(), &request, &out.raw, &marker, &error.raw), error));
  Rendered rendered;
  rendered.text = std::string(out.view());
  codec::AppendUtf8(marker, &rendered.marker);
  return rendered;
}

size_t CharacterCount(std::string_view utf8) {
  size_t count = 0;
  for (const char c : utf8) count += (static_cast<uint8_t>(c) & 0xc0) != 0x80 ? 1 : 0;
  return count;
}

std::string_view FallbackSource(const Tokenizer& tokenizer) {
  const bool chat_ml = tokenizer.IsControl(tokenizer.IdOf("<|im_start|>")) &&
                       tokenizer.IsControl(tokenizer.IdOf("<|im_end|>"));
  return chat_ml ? kChatMl : kLines;
}

}  // namespace

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::FromMetadata(const format::Metadata& metadata,
                                                                 const Tokenizer& tokenizer) {
  const auto source = metadata.StringOr("tokenizer.chat_template", FallbackSource(tokenizer));
  RETURN_IF_ERROR(source.status());
  if (source->size() > kTemplateBytesMax) {
    return InvalidArgument(fmt::format("tokenizer.chat_template: {} bytes, more than the {} supported",
                                       source->size(), kTemplateBytesMax));
  }
  std::vector<LiteralMatcher::Entry> control;
  std::vector<pelton_rust_str> secrets;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view piece = tokenizer.Piece(id);
    // A marker needs two characters to stand between; a shorter name stays plain text.
    if (!tokenizer.IsControl(id) || CharacterCount(piece) < 2) continue;
    control.push_back({std::string(piece), id});
    secrets.push_back(RustStr(piece));
  }
  pelton_rust_template* raw = nullptr;
  RustBytes error;
  RETURN_IF_ERROR(RustStatus(pelton_rust_template_new(RustStr(*source), secrets.data(), secrets.size(),
                                                      &raw, &error.raw),
                             error));
  return std::unique_ptr<ChatTemplate>(std::make_unique<JinjaTemplate>(
      tokenizer, LiteralMatcher(std::move(control)), raw, *source));
}

}  // namespace pelton::text
