#include "text/chat_template.h"

#include <gtest/gtest.h>

#include "text/test_model.h"

namespace pelton::text {
namespace {

constexpr std::string_view kChatMl =
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

struct Chat {
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat;
};

Chat Loaded(TestModel m, std::string_view source) {
  if (!source.empty()) m.SetText("tokenizer.chat_template", std::string(source));
  Chat out;
  const format::Metadata metadata = m.Build();
  auto t = Tokenizer::FromMetadata(metadata);
  EXPECT_TRUE(t.ok()) << t.status().ToString();
  out.tokenizer = std::move(t).value();
  auto c = ChatTemplate::FromMetadata(metadata, *out.tokenizer);
  EXPECT_TRUE(c.ok()) << c.status().ToString();
  out.chat = std::move(c).value();
  return out;
}

ChatTemplateInput Asks(std::string content) {
  ChatTemplateInput in;
  in.messages.push_back(Says("user", std::move(content)));
  return in;
}

std::string RenderedBy(std::string_view source, const ChatTemplateInput& in) {
  const auto text = Loaded(ByteLevelModel(), source).chat->Render(in);
  return text.ok() ? *text : "error: " + text.status().message();
}

TEST(ChatTemplate, RendersTextAndTokens) {
  const Chat c = Loaded(ByteLevelModel(), kChatMl);
  EXPECT_EQ(*c.chat->Render(Asks("ab")), "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n");
  const auto ids = c.chat->RenderTokens(Asks("ab"));
  ASSERT_TRUE(ids.ok()) << ids.status().ToString();
  EXPECT_EQ(ids->front(), 259);
  EXPECT_EQ(c.tokenizer->Decode(*ids, true), *c.chat->Render(Asks("ab")));
}

TEST(ChatTemplate, WithoutOneAFallbackIsUsed) {
  const Chat ml = Loaded(ByteLevelModel(), "");
  EXPECT_EQ(*ml.chat->Render(Asks("x")), "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n");
  const Chat lines = Loaded(ScoredModel(), "");
  EXPECT_EQ(*lines.chat->Render(Asks("x")), "user: x\nassistant:");
}

TEST(ChatTemplate, ExactlyOneBos) {
  for (const char* source : {"{{ messages[0].content }}", "{{ bos_token }}{{ messages[0].content }}",
                             "{{ bos_token }}{{ bos_token }}{{ messages[0].content }}"}) {
    const Chat c = Loaded(ScoredModel(), source);
    const auto ids = c.chat->RenderTokens(Asks("hi"));
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*ids, (std::vector<TokenId>{1, c.tokenizer->IdOf("\u2581hi")})) << source;
  }
  TestModel m = ScoredModel();
  m.Set("tokenizer.ggml.add_bos_token", false);
  const Chat none = Loaded(m, "{{ messages[0].content }}");
  EXPECT_NE(none.chat->RenderTokens(Asks("hi"))->front(), 1);
}

TEST(ChatTemplate, DeveloperIsSystemUnlessTheTemplateNamesIt) {
  ChatTemplateInput in;
  in.messages.push_back(Says("developer", "d"));
  EXPECT_EQ(RenderedBy("{{ messages[0].role }}", in), "system");
  EXPECT_EQ(RenderedBy("{{ messages[0].role }}{% if messages[0].role == 'developer' %}!{% endif %}", in),
            "developer!");
}

TEST(ChatTemplate, ToolsCallsAndVariables) {
  ChatTemplateInput in = Asks("q");
  in.tools_json = R"([{"type":"function","function":{"name":"f","parameters":{}}}])";
  in.kwargs_json = R"({"enable_thinking":true})";
  in.messages.push_back(Says("assistant", ""));
  in.messages.back().tool_calls_json =
      R"([{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}])";
  in.messages.push_back(Says("tool", "42"));
  in.messages.back().tool_call_id = "1";
  in.messages.back().name = "f";
  EXPECT_EQ(RenderedBy("{{ tools[0].function.name }} {{ enable_thinking }} "
                       "{{ messages[1].tool_calls[0].function.arguments.a }} "
                       "{{ messages[2].name }} {{ messages[2].tool_call_id }} "
                       "{{ 'name' in messages[0] }} {{ 'tool_calls' in messages[0] }}", in),
            "f True 1 f 1 False False");
  in.tools_json = "{}";
  EXPECT_EQ(RenderedBy("x", in), "error: tools: not a JSON array");
  in.tools_json = "[";
  EXPECT_EQ(RenderedBy("x", in).substr(0, 12), "error: tools");
}

// A template that knows no tools: they are told of in the system message, and earlier turns are text.
TEST(ChatTemplate, ToolsOfATemplateThatKnowsNone) {
  const Chat c = Loaded(ByteLevelModel(), kChatMl);
  EXPECT_FALSE(c.chat->traits().knows_tools);
  EXPECT_EQ(c.chat->traits().tools, ToolSyntax::kTags);
  ChatTemplateInput in = Asks("q");
  const std::string without = *c.chat->Render(in);
  in.tools_json = R"([{"type":"function","function":{"name":"f","parameters":{}}}])";
  const std::string told = *c.chat->Render(in);
  EXPECT_TRUE(told.starts_with("<|im_start|>system\n")) << told;
  EXPECT_NE(told.find(R"({"name":"f","parameters":{}})"), std::string::npos);
  EXPECT_TRUE(told.ends_with(without));
  in.messages.insert(in.messages.begin(), Says("system", "Be kind."));
  EXPECT_TRUE(c.chat->Render(in)->starts_with("<|im_start|>system\nBe kind.\n\nYou can call"));
  in.tools_json.clear();
  in.messages = {Says("user", "q"), Says("assistant", "Look:"), Says("tool", "42")};
  in.messages[1].tool_calls_json = R"([{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}])";
  const std::string turns = *c.chat->Render(in);
  EXPECT_NE(turns.find("Look:\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call><|im_end|>"),
            std::string::npos) << turns;
  EXPECT_NE(turns.find("user\n<tool_response>\n42\n</tool_response><|im_end|>"), std::string::npos);
}

TEST(ChatTemplate, TraitsAreReadFromTheTemplate) {
  const auto traits = [](std::string_view source) { return Loaded(ByteLevelModel(), source).chat->traits(); };
  EXPECT_EQ(traits("{{ tools }}<tool_call>").tools, ToolSyntax::kTags);
  EXPECT_EQ(traits("{{ tools }}[TOOL_CALLS]").tools, ToolSyntax::kMistral);
  EXPECT_EQ(traits("{{ tools }}<|tool_call|>").tools, ToolSyntax::kPhi);
  EXPECT_EQ(traits("{{ tools }}<|python_tag|>").tools, ToolSyntax::kJson);
  EXPECT_FALSE(traits("x").thinks);
  EXPECT_TRUE(traits("{{ '</think>' }}").thinks);
  EXPECT_FALSE(traits("{{ '</think>' }}").opens_thinking);
  EXPECT_TRUE(traits("{{ messages[0].content }}{% if add_generation_prompt %}<think>\n{% endif %}").opens_thinking);
}

TEST(ChatTemplate, ContinuesTheFinalMessage) {
  const Chat c = Loaded(ByteLevelModel(), kChatMl);
  ChatTemplateInput in = Asks("q");
  in.continue_final_message = true;
  EXPECT_EQ(c.chat->Render(in).status().code(), StatusCode::kInvalidArgument);
  in.messages.push_back(Says("assistant", "half <|im_end|"));
  EXPECT_EQ(*c.chat->Render(in), "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nhalf <|im_end|");
}

TEST(ChatTemplate, LimitsAreTheCallersErrors) {
  const auto status = [](std::string_view source) {
    return Loaded(ByteLevelModel(), source).chat->Render(Asks("x")).status();
  };
  for (const char* source :
       {"{{ raise_exception('no') }}", "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99) %}{{ 'x' * 99999 }}{% endfor %}", "{{ x.y.z }}"}) {
    EXPECT_EQ(status(source).code(), StatusCode::kInvalidArgument) << source;
  }
}

TEST(ChatTemplate, ABrokenTemplateIsNamed) {
  TestModel m = ByteLevelModel();
  const auto tokenizer = m.Load();
  m.SetText("tokenizer.chat_template", "{% if %}");
  const auto broken = ChatTemplate::FromMetadata(m.Build(), **tokenizer);
  EXPECT_EQ(broken.status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(broken.status().message().starts_with("tokenizer.chat_template: syntax error"));
  m.SetText("tokenizer.chat_template", std::string(kTemplateBytesMax, 'x'));
  EXPECT_TRUE(ChatTemplate::FromMetadata(m.Build(), **tokenizer).ok());
  m.SetText("tokenizer.chat_template", std::string(kTemplateBytesMax + 1, 'x'));
  EXPECT_FALSE(ChatTemplate::FromMetadata(m.Build(), **tokenizer).ok());
}

}  // namespace
}  // namespace pelton::text
