#include "api/anthropic/parse.h"

#include <gtest/gtest.h>

#include "codec/json.h"

namespace pelton::api::anthropic {
namespace {

ParsedRequest Parsed(const std::string& body, bool strict = false) {
  auto parsed = ParseMessages(body, strict);
  EXPECT_TRUE(parsed.ok()) << parsed.status().message();
  return parsed.ok() ? *std::move(parsed) : ParsedRequest{};
}

// The parameter that the refusal names.
std::string Refused(const std::string& body, bool strict = false) {
  const auto parsed = ParseMessages(body, strict);
  EXPECT_FALSE(parsed.ok()) << body;
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
  return parsed.status().param();
}

std::string With(const std::string& members) {
  return "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" +
         (members.empty() ? "" : "," + members) + "}";
}
std::string WithMessages(const std::string& messages) {
  return "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[" + messages + "]}";
}

const backend::ChatPrompt& PromptOf(const ParsedRequest& parsed) {
  return std::get<backend::ChatPrompt>(parsed.request.prompts.at(0));
}

TEST(AnthropicParse, EveryFieldArrives) {
  const ParsedRequest parsed = Parsed(With(
      R"("system":"Be brief","temperature":0.5,"top_p":0.9,"top_k":7,"stop_sequences":["a","bc"],"stream":true)"));
  EXPECT_EQ(parsed.request.model, "m");
  EXPECT_EQ(parsed.request.max_tokens, 5);
  EXPECT_EQ(parsed.request.sampling.temperature, 0.5F);
  EXPECT_EQ(parsed.request.sampling.top_p, 0.9F);
  EXPECT_EQ(parsed.request.sampling.top_k, 7);
  EXPECT_EQ(parsed.request.stop, (std::vector<std::string>{"a", "bc"}));
  EXPECT_TRUE(parsed.form.stream);
  EXPECT_TRUE(parsed.form.ignored.empty());
  const backend::ChatPrompt& prompt = PromptOf(parsed);
  ASSERT_EQ(prompt.messages.size(), 2U);
  EXPECT_EQ(prompt.messages[0].role, "system");
  EXPECT_EQ(prompt.messages[0].content, "Be brief");
  EXPECT_EQ(prompt.messages[1].content, "Hi");
  EXPECT_TRUE(prompt.add_generation_prompt);
}

TEST(AnthropicParse, BlocksOfTextAreLines) {
  const ParsedRequest parsed = Parsed(
      R"({"model":"m","max_tokens":1,"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],
          "messages":[{"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}]})");
  EXPECT_EQ(PromptOf(parsed).messages[0].content, "a\nb");
  EXPECT_EQ(PromptOf(parsed).messages[1].content, "c\nd");
}

TEST(AnthropicParse, TurnsOfOneRoleInARowAreOneTurn) {
  const ParsedRequest parsed = Parsed(WithMessages(
      R"({"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"user","content":"d"})"));
  ASSERT_EQ(PromptOf(parsed).messages.size(), 3U);
  EXPECT_EQ(PromptOf(parsed).messages[0].content, "a\nb");
}

TEST(AnthropicParse, ALastTurnOfTheAssistantIsContinued) {
  const ParsedRequest parsed =
      Parsed(WithMessages(R"({"role":"user","content":"a"},{"role":"assistant","content":"The"})"));
  EXPECT_TRUE(PromptOf(parsed).continue_final_message);
  EXPECT_FALSE(PromptOf(parsed).add_generation_prompt);
}

TEST(AnthropicParse, ToolsUsedBeforeBecomeMessages) {
  const ParsedRequest parsed = Parsed(WithMessages(
      R"({"role":"user","content":"weather?"},
         {"role":"assistant","content":[{"type":"text","text":"I look."},{"type":"tool_use","id":"t1","name":"w","input":{"city":"Paris"}}]},
         {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"sunny"},{"type":"text","text":"And?"}]})"));
  const auto& messages = PromptOf(parsed).messages;
  ASSERT_EQ(messages.size(), 4U);
  const auto calls = codec::ParseJson(messages[1].tool_calls_json);
  ASSERT_TRUE(calls.ok());
  const codec::Json* function = calls->AsArray()->at(0).Find("function");
  EXPECT_EQ(*function->Find("name")->AsString(), "w");
  EXPECT_EQ(*function->Find("arguments")->AsString(), R"({"city":"Paris"})");
  EXPECT_EQ(messages[2].role, "tool");
  EXPECT_EQ(messages[2].tool_call_id, "t1");
  EXPECT_EQ(messages[2].content, "sunny");
  EXPECT_EQ(messages[3].content, "And?");
  EXPECT_TRUE(PromptOf(parsed).add_generation_prompt);
}

TEST(AnthropicParse, WhatIsMissingOrWrongIsNamed) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"max_tokens":1,"messages":[{"role":"user","content":"a"}]})", "model"},
      {R"({"model":"m","messages":[{"role":"user","content":"a"}]})", "max_tokens"},
      {R"({"model":"m","max_tokens":1})", "messages"},
      {R"({"model":"m","max_tokens":1,"messages":[]})", "messages"},
      {R"({"model":"m","max_tokens":0,"messages":[{"role":"user","content":"a"}]})", "max_tokens"},
      {R"({"model":"m","max_tokens":1048577,"messages":[{"role":"user","content":"a"}]})", "max_tokens"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"system","content":"a"}]})", "messages.0.role"},
      {R"({"model":"m","max_tokens":1,"messages":["a"]})", "messages.0.role"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user"}]})", "messages.0.content"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":""}]})", "messages.0.content"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]})",
       "messages.0.content.0.type"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_use"}]}]})",
       "messages.0.content.0.type"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result"}]}]})",
       "messages.0.content.0.tool_use_id"}};
  for (const auto& [body, param] : kCases) EXPECT_EQ(Refused(body), param) << body;
  EXPECT_EQ(Refused(With(R"("temperature":1.5)")), "temperature");
  EXPECT_EQ(Refused(With(R"("top_k":-1)")), "top_k");
  EXPECT_EQ(Refused(With(R"("stop_sequences":[""])")), "stop_sequences");
  EXPECT_EQ(Refused(With(R"("stop_sequences":"a")")), "stop_sequences");
  EXPECT_EQ(Refused(With(R"("system":5)")), "system");
  EXPECT_EQ(Refused(With(R"("system":[{"type":"image"}])")), "system.0");
  EXPECT_EQ(Refused(With(R"("tools":[{"name":"w"}])")), "tools.0.input_schema");
  EXPECT_EQ(Refused(With(R"("tools":[{"name":"a b","input_schema":{}}])")), "tools.0.name");
  EXPECT_EQ(Refused(With(R"("tools":[{"name":"w","input_schema":{}},{"name":"w","input_schema":{}}])")), "tools.1.name");
  EXPECT_EQ(Refused(With(R"("tools":[{"name":"w","description":1,"input_schema":{}}])")), "tools.0.description");
  EXPECT_EQ(Refused(With(R"("tools":[{"type":"bash_20250124","name":"bash"}])")), "tools.0.type");
  EXPECT_EQ(Refused(With(R"("tool_choice":{"type":"any"})")), "tool_choice");
  EXPECT_EQ(Refused(With(R"("tool_choice":{"type":"often"})")), "tool_choice.type");
  EXPECT_EQ(Refused(With(R"("tools":[{"name":"w","input_schema":{}}],"tool_choice":{"type":"tool","name":"x"})")),
            "tool_choice.name");
  EXPECT_EQ(Refused(With(R"("thinking":{"type":"adaptive"})")), "thinking.type");
  EXPECT_EQ(Refused("{"), "");
  EXPECT_EQ(Refused("[]"), "");
}

TEST(AnthropicParse, WhatAsksForNothingIsTakenAndWhatHasNoEffectIsNamed) {
  EXPECT_TRUE(Parsed(With(R"("tools":[],"thinking":{"type":"disabled"},"tool_choice":{"type":"auto"})")).form.ignored.empty());
  EXPECT_EQ(Parsed(With(R"("metadata":{"user_id":"u"},"new_thing":1)")).form.ignored,
            (std::vector<std::string>{"metadata", "new_thing"}));
  EXPECT_EQ(Refused(With(R"("new_thing":1)"), /*strict=*/true), "new_thing");
}

TEST(AnthropicParse, ToolsBecomeFunctionsAndThinkingAVariable) {
  const std::string tools = R"("tools":[{"name":"w","description":"d","input_schema":{"type":"object"}},{"name":"v","input_schema":{}}])";
  ParsedRequest parsed = Parsed(With(tools));
  EXPECT_EQ(parsed.form.tools.json,
            R"([{"type":"function","function":{"name":"w","description":"d","parameters":{"type":"object"}}},)"
            R"({"type":"function","function":{"name":"v","parameters":{}}}])");
  EXPECT_EQ(parsed.form.tools.names, (std::vector<std::string>{"w", "v"}));
  EXPECT_FALSE(parsed.form.tools.forced);
  EXPECT_EQ(PromptOf(parsed).kwargs_json, R"({"enable_thinking":false})");
  parsed = Parsed(With(tools + R"(,"tool_choice":{"type":"tool","name":"v","disable_parallel_tool_use":true})"));
  EXPECT_EQ(parsed.form.tools.forced, "v");
  EXPECT_TRUE(parsed.form.tools.one_call);
  EXPECT_EQ(parsed.form.tools.names, std::vector<std::string>{"v"});
  EXPECT_EQ(Parsed(With(tools + R"(,"tool_choice":{"type":"any"})")).form.tools.forced, "");
  EXPECT_TRUE(Parsed(With(tools + R"(,"tool_choice":{"type":"none"})")).form.tools.json.empty());
  parsed = Parsed(With(R"("thinking":{"type":"enabled","budget_tokens":1024})"));
  EXPECT_EQ(PromptOf(parsed).kwargs_json, R"({"enable_thinking":true})");
  EXPECT_EQ(parsed.form.ignored, std::vector<std::string>{"thinking.budget_tokens"});
}

TEST(AnthropicParse, BoundsHoldOnBothSides) {
  std::string stops, blocks, messages;
  for (int i = 0; i < serving::kStopsMax; ++i) stops += stops.empty() ? "\"s\"" : ",\"s\"";
  EXPECT_EQ(Parsed(With("\"stop_sequences\":[" + stops + "]")).request.stop.size(), 16U);
  EXPECT_EQ(Refused(With("\"stop_sequences\":[" + stops + ",\"s\"]")), "stop_sequences");
  for (int i = 0; i < serving::kPartsMax; ++i) blocks += std::string(i == 0 ? "" : ",") + R"({"type":"text","text":"a"})";
  EXPECT_EQ(PromptOf(Parsed(WithMessages(R"({"role":"user","content":[)" + blocks + "]}"))).messages.size(), 1U);
  EXPECT_EQ(Refused(WithMessages(R"({"role":"user","content":[)" + blocks + R"(,{"type":"text","text":"a"}]})")),
            "messages.0.content");
  for (int i = 0; i < serving::kMessagesMax; ++i) messages += std::string(i == 0 ? "" : ",") + R"({"role":"user","content":"a"})";
  EXPECT_EQ(PromptOf(Parsed(WithMessages(messages))).messages.size(), 1U);
  EXPECT_EQ(Refused(WithMessages(messages + R"(,{"role":"user","content":"a"})")), "messages");
}

TEST(AnthropicParse, CountingTakesTheSameConversation) {
  const auto parsed = ParseCount(R"({"model":"m","system":"s","messages":[{"role":"user","content":"a"}]})", false);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->prompt.messages.size(), 2U);
  EXPECT_FALSE(ParseCount(R"({"messages":[{"role":"user","content":"a"}]})", false).ok());
}

}  // namespace
}  // namespace pelton::api::anthropic
