// Rows 11 and 12: templates that reach for the host, that never end, that recurse.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "text/test_model.h"

namespace pelton::cve {
namespace {

using text::ChatTemplate;
using text::ChatTemplateInput;

constexpr std::string_view kEcho =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";

// Renders `source` for one message; the text, or "error: …".
std::string Rendered(std::string_view source, const ChatTemplateInput& input) {
  text::TestModel model = text::ByteLevelModel();
  model.SetText("tokenizer.chat_template", std::string(source));
  const format::Metadata metadata = model.Build();
  const auto tokenizer = text::Tokenizer::FromMetadata(metadata);
  if (!tokenizer.ok()) return "no tokenizer: " + tokenizer.status().message();
  const auto chat = ChatTemplate::FromMetadata(metadata, **tokenizer);
  if (!chat.ok()) return "error: " + chat.status().message();
  const auto out = (*chat)->Render(input);
  if (out.ok()) return *out;
  EXPECT_EQ(out.status().code(), StatusCode::kInvalidArgument) << out.status().message();
  return "error: " + out.status().message();
}

ChatTemplateInput Asks(std::string content) {
  ChatTemplateInput input;
  input.messages.push_back(text::Says("user", std::move(content)));
  return input;
}

// Gadgets that ran code in Jinja2 (and its kin) without a sandbox: every way to an object's class
// joined with every way on from there.
std::vector<std::string> Gadgets() {
  std::vector<std::string> out;
  const char* roots[] = {"''", "[]", "{}", "()", "1", "messages", "messages[0]", "self", "cycler",
                         "joiner", "namespace", "lipsum", "raise_exception", "range", "loop", "dict"};
  const char* ways[] = {
      ".__class__.__mro__[1].__subclasses__()",
      ".__class__.__base__.__subclasses__()[104].__init__.__globals__['sys'].modules['os'].popen('id').read()",
      ".__init__.__globals__.__builtins__.__import__('os').popen('id').read()",
      "|attr('__class__')|attr('__base__')|attr('__subclasses__')()",
      "['__class__']['__mro__']"};
  for (const char* root : roots) {
    for (const char* way : ways) out.push_back(std::string("{{ ") + root + way + " }}");
  }
  for (const char* whole :
       {"{{ config.__class__.from_envvar.__globals__.import_string('os').popen('id').read() }}",
        "{{ request.application.__globals__.__builtins__.open('/etc/passwd').read() }}",
        "{% include '/etc/passwd' %}", "{% import 'os' as os %}{{ os.popen('id').read() }}",
        "{% extends '/etc/passwd' %}", "{% from 'os' import popen %}{{ popen('id').read() }}",
        "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ get_flashed_messages.__globals__['current_app'].config }}",
        "{% for x in ().__class__.__base__.__subclasses__() %}{% if 'warning' in x.__name__ %}"
        "{{ x()._module.__builtins__['__import__']('os').popen('id').read() }}{% endif %}{% endfor %}",
        "{{ '%s'.format(self) }}{{ '{0.__class__}'.format(1) }}", "{{ debug() }}",
        "{{ ''.format_map({}) }}{{ 'a'.__format__ }}", "{{ eval('1+1') }}{{ exec('1') }}",
        "${T(java.lang.Runtime).getRuntime().exec('id')}", "#{7*7}<%= 7*7 %>"}) {
    out.emplace_back(whole);
  }
  return out;
}

TEST(TemplateCve, Row11_ThereAreEnoughGadgets) { EXPECT_GE(Gadgets().size(), 80U); }

// CVE-2024-34359, -2024-2952, -2026-5760: the template comes out of a model file.
TEST(TemplateCve, Row11_GadgetsAsTemplatesReachNothing) {
  for (const std::string& gadget : Gadgets()) {
    const std::string out = Rendered(gadget, Asks("hello"));
    for (const char* sign : {"uid=", "root:", "<class", "<module", "<function", "<built-in", "subprocess",
                             "PATH=", "/work", "/root", "0x7f"}) {
      if (out.starts_with("error: ")) break;
      EXPECT_EQ(out.find(sign), std::string::npos) << gadget << "\n" << out;
    }
  }
}

// CVE-2026-42203: the text of a request must never be read as a template.
TEST(TemplateCve, Row11_GadgetsInMessagesAreText) {
  for (const std::string& gadget : Gadgets()) {
    EXPECT_EQ(Rendered(kEcho, Asks(gadget)), "user: " + gadget + "\n");
  }
}

// CVE-2025-61620.
TEST(TemplateCve, Row12_LoopsEnd) {
  for (const char* source :
       {"{% for a in range(25000) %}{% for b in range(25000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(n=0) %}{% for a in range(99999) %}{% for b in range(99999) %}"
        "{% set ns.n = ns.n + 1 %}{% endfor %}{% endfor %}{{ ns.n }}",
        "{% macro f(n) %}{% for i in range(1000) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(1) }}",
        "{% for a in range(999999999) %}{% endfor %}", "{{ range(9999999)|list|length }}",
        "{{ 'x' * 9999999999 }}", "{{ [1] * 9999999999 }}"}) {
    EXPECT_EQ(Rendered(source, Asks("x")).substr(0, 7), "error: ") << source;
  }
}

// llama.cpp #19085, #26387; also on a small stack, as a pool's thread may have.
TEST(TemplateCve, Row12_RecursionEnds) {
  const auto nested = [](int n) {
    return "{{ " + std::string(static_cast<size_t>(n), '(') + "1" + std::string(static_cast<size_t>(n), ')') + " }}";
  };
  EXPECT_EQ(Rendered(nested(20), Asks("x")), "1");
  EXPECT_EQ(Rendered(nested(150), Asks("x")).substr(0, 7), "error: ");
  EXPECT_EQ(Rendered(nested(60'000), Asks("x")).substr(0, 7), "error: ");
  EXPECT_EQ(Rendered("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Asks("x")).substr(0, 7), "error: ");
  EXPECT_EQ(Rendered("{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
                     Asks("x")).substr(0, 7), "error: ");
  std::string chain = "{{ 1";
  for (int i = 0; i < 60'000; ++i) chain += "+1";
  EXPECT_FALSE(Rendered(chain + " }}", Asks("x")).empty());
}

// CVE-2025-62426: variables of a request that steer the renderer.
TEST(TemplateCve, Row12_VariablesOfARequestCannotTakeOurNames) {
  for (const char* name : {"messages", "tools", "documents", "tokenize", "chat_template", "bos_token", "eos_token",
                           "add_generation_prompt", "continue_final_message", "raise_exception", "range"}) {
    ChatTemplateInput input = Asks("x");
    input.kwargs_json = std::string("{\"") + name + "\": true}";
    EXPECT_NE(Rendered(kEcho, input).find("reserved"), std::string::npos) << name;
  }
  ChatTemplateInput input = Asks("x");
  for (const char* bad : {"[]", "1", "{", "{\"a\":}", "\"x\""}) {
    input.kwargs_json = bad;
    EXPECT_EQ(Rendered(kEcho, input).substr(0, 7), "error: ") << bad;
  }
  input.kwargs_json = R"({"a": "{{ 7 * 7 }}"})";
  EXPECT_EQ(Rendered("{{ a }}", input), "{{ 7 * 7 }}");
}

TEST(TemplateCve, Row12_DeepJsonOfAClientIsAnError) {
  for (const char* open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += open;
    ChatTemplateInput input = Asks("x");
    input.tools_json = deep;
    EXPECT_EQ(Rendered(kEcho, input).substr(0, 7), "error: ");
    input.tools_json.clear();
    input.kwargs_json = deep;
    EXPECT_EQ(Rendered(kEcho, input).substr(0, 7), "error: ");
    input.kwargs_json.clear();
    input.messages[0].tool_calls_json = deep;
    EXPECT_EQ(Rendered(kEcho, input).substr(0, 7), "error: ");
  }
}

}  // namespace
}  // namespace pelton::cve
