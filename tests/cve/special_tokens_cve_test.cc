// Row 20, vLLM CVE-2026-44222: a user's text read as control tokens. The control tokens of five
// vocabularies inside every field of a request, whole and in halves that a template could join.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "text/test_model.h"

namespace pelton::cve {
namespace {

using text::ChatTemplateInput;
using text::TokenId;

struct Family {
  const char* name;
  std::vector<std::string> control;
};

const Family kFamilies[] = {
    {"chatml", {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<|object_ref_start|>"}},
    {"llama3", {"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
                "<|eom_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>"}},
    {"gemma", {"<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<unused7>"}},
    {"mistral", {"<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]",
                 "[TOOL_RESULTS]", "[SYSTEM_PROMPT]"}},
    {"deepseek", {"<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
                  "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", "<|end|>", "<|user|>", "\uff5c\uff5c"}},
};

// Shows every field of the request with the given control tokens around them.
std::string ShowAll(const Family& f) {
  const std::string a = "{{ '" + f.control[0] + "' }}";
  const std::string b = "{{ '" + f.control[1] + "' }}";
  return "{% for m in messages %}" + a + "{{ m.role }}{{ m.name }}" + b + "{{ m.content }}{{ m.content | trim }}" +
         "{{ m.tool_call_id }}{{ m.content }}" + a + "{{ m.tool_calls | tojson }}{{ m.tool_calls }}" + b +
         "{% endfor %}{{ tools | tojson }}{{ tools | tojson(indent=2) }}{{ variable }}" + a;
}

struct Served {
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<text::ChatTemplate> chat;
};

Served Serve(const Family& family) {
  text::TestModel model = text::ByteLevelModel();
  for (const std::string& token : family.control) {
    if (token != "<|endoftext|>" && token != "<|im_start|>" && token != "<|im_end|>") {
      model.Add(token, text::kControl);
    }
  }
  model.SetText("tokenizer.chat_template", ShowAll(family));
  const format::Metadata metadata = model.Build();
  Served out;
  auto tokenizer = text::Tokenizer::FromMetadata(metadata);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  out.tokenizer = std::move(tokenizer).value();
  auto chat = text::ChatTemplate::FromMetadata(metadata, *out.tokenizer);
  EXPECT_TRUE(chat.ok()) << chat.status().ToString();
  out.chat = std::move(chat).value();
  return out;
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }  // no character needs more

ChatTemplateInput Request(const std::vector<std::string>& words) {
  ChatTemplateInput input;
  size_t next = 0;
  const auto word = [&] { return words[next++ % words.size()]; };
  for (int i = 0; i < 2; ++i) {
    text::ChatMessage m = text::Says(i == 0 ? "user" : word(), word());
    m.name = word();
    m.tool_call_id = word();
    m.tool_calls_json = "[{" + Quoted(word()) + ":" + Quoted(word()) + R"(,"function":{"name":)" + Quoted(word()) +
                        R"(,"arguments":"{}"}}])";
    input.messages.push_back(std::move(m));
  }
  input.tools_json = "[{" + Quoted(word()) + ":[" + Quoted(word()) + "," + Quoted(word()) + "]}]";
  input.kwargs_json = R"({"variable":)" + Quoted(word()) + "}";
  return input;
}

std::vector<TokenId> ControlIds(const Served& served, const ChatTemplateInput& input) {
  const auto ids = served.chat->RenderTokens(input);
  EXPECT_TRUE(ids.ok()) << ids.status().ToString();
  std::vector<TokenId> out;
  if (!ids.ok()) return out;
  for (const TokenId id : *ids) {
    if (served.tokenizer->IsControl(id)) out.push_back(id);
  }
  // What was cut and encoded is what a person would read.
  EXPECT_EQ(served.tokenizer->Decode(*ids, true), *served.chat->Render(input));
  return out;
}

TEST(SpecialTokensCve, Row20_WholeTokensInEveryField) {
  for (const Family& family : kFamilies) {
    const Served served = Serve(family);
    const std::vector<TokenId> expected = ControlIds(served, Request({"word"}));
    ASSERT_EQ(expected.size(), 9U) << family.name;  // four a message and one at the end
    for (const std::string& token : family.control) {
      for (const std::string& around : {token, "a " + token + " b", token + token, token + "x" + token}) {
        EXPECT_EQ(ControlIds(served, Request({around})), expected) << family.name << " " << around;
      }
    }
  }
}

TEST(SpecialTokensCve, Row20_HalvesThatATemplateJoins) {
  for (const Family& family : kFamilies) {
    const Served served = Serve(family);
    const std::vector<TokenId> expected = ControlIds(served, Request({"word"}));
    Random random(3);
    for (int i = 0; i < 400; ++i) {
      std::vector<std::string> words;
      for (int w = 0; w < 7; ++w) {  // cut at characters, not inside one
        const std::string& token = family.control[random.Below(family.control.size())];
        size_t cut = random.Below(token.size() + 1);
        while (cut < token.size() && (static_cast<uint8_t>(token[cut]) & 0xc0) == 0x80) ++cut;
        words.push_back(random.Below(2) == 0 ? token.substr(0, cut) : token.substr(cut));
      }
      ASSERT_EQ(ControlIds(served, Request(words)), expected) << family.name << " round " << i;
    }
  }
}

// The marker is a noncharacter: a user who sends noncharacters gains nothing and loses nothing.
TEST(SpecialTokensCve, Row20_NoncharactersOfTheUserAreKept) {
  const Served served = Serve(kFamilies[0]);
  const std::vector<TokenId> expected = ControlIds(served, Request({"word"}));
  const std::string mine = "<\ufdd0|im_end|><\ufdd1|im_end|>\uffff<|im_end|>\U0010ffff";
  const ChatTemplateInput input = Request({mine});
  EXPECT_EQ(ControlIds(served, input), expected);
  EXPECT_NE(served.chat->Render(input)->find(mine), std::string::npos);
}

TEST(SpecialTokensCve, Row20_PlainTextNeverGivesAControlToken) {
  for (const Family& family : kFamilies) {
    const Served served = Serve(family);
    for (const std::string& token : family.control) {
      const auto plain = served.tokenizer->Encode("x" + token + token, {});
      ASSERT_TRUE(plain.ok());
      for (const TokenId id : *plain) EXPECT_FALSE(served.tokenizer->IsControl(id)) << token;
      const auto asked = served.tokenizer->Encode(token, {.parse_special = true});
      ASSERT_TRUE(asked.ok());
      EXPECT_EQ(asked->size(), 1U) << token;
    }
  }
}

}  // namespace
}  // namespace pelton::cve
