#include "api/ollama/parse.h"

#include <gtest/gtest.h>

#include "codec/json.h"

namespace pelton::api::ollama {
namespace {

using Parse = Result<ParsedRequest> (*)(std::string_view, bool);

ParsedRequest Parsed(Parse parse, const std::string& body) {
  auto parsed = parse(body, false);
  EXPECT_TRUE(parsed.ok()) << body << parsed.status().message();
  return parsed.ok() ? *std::move(parsed) : ParsedRequest{};
}

// The parameter that the refusal names.
std::string Refused(Parse parse, const std::string& body, bool strict = false) {
  const auto parsed = parse(body, strict);
  EXPECT_FALSE(parsed.ok()) << body;
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
  return parsed.status().param();
}

std::string Chat(const std::string& members) {
  return R"({"model":"m","messages":[{"role":"user","content":"Hi"}])" + (members.empty() ? "" : "," + members) + "}";
}
std::string ChatOf(const std::string& messages) { return R"({"model":"m","messages":[)" + messages + "]}"; }
std::string Generated(const std::string& members) {
  return R"({"model":"m","prompt":"Hi")" + (members.empty() ? "" : "," + members) + "}";
}
std::string Options(const std::string& members) { return Chat("\"options\":{" + members + "}"); }

const backend::ChatPrompt& PromptOf(const ParsedRequest& parsed) {
  return std::get<backend::ChatPrompt>(parsed.request.prompts.at(0));
}

TEST(OllamaParse, EveryOptionArrives) {
  const ParsedRequest parsed = Parsed(ParseChat, Options(
      R"("temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.1,"typical_p":0.8,"num_predict":5,"seed":42,"stop":["a","bc"],
         "repeat_penalty":1.1,"presence_penalty":0.2,"frequency_penalty":0.3)"));
  const serving::SamplingWish& wish = parsed.request.sampling;
  EXPECT_EQ(parsed.request.model, "m");
  EXPECT_EQ(parsed.form.model, "m");
  EXPECT_TRUE(parsed.form.stream);  // by default
  EXPECT_EQ(wish.temperature, 0.5F);
  EXPECT_EQ(wish.top_p, 0.9F);
  EXPECT_EQ(wish.top_k, 7);
  EXPECT_EQ(wish.min_p, 0.1F);
  EXPECT_EQ(wish.typical_p, 0.8F);
  EXPECT_EQ(wish.seed, 42);
  EXPECT_EQ(wish.repetition_penalty, 1.1F);
  EXPECT_EQ(wish.presence_penalty, 0.2F);
  EXPECT_EQ(wish.frequency_penalty, 0.3F);
  EXPECT_EQ(parsed.request.max_tokens, 5);
  EXPECT_EQ(parsed.request.stop, (std::vector<std::string>{"a", "bc"}));
  EXPECT_TRUE(parsed.form.ignored.empty());
}

TEST(OllamaParse, OptionsThatAskForNothingAskForNothing) {
  for (const char* tokens : {"0", "-1", "-2"}) {
    EXPECT_FALSE(Parsed(ParseChat, Options("\"num_predict\":" + std::string(tokens))).request.max_tokens);
  }
  EXPECT_FALSE(Parsed(ParseChat, Options(R"("seed":-1)")).request.sampling.seed);
  EXPECT_EQ(Parsed(ParseChat, Options(R"("repeat_penalty":0)")).request.sampling.repetition_penalty, 1.F);
  EXPECT_EQ(Parsed(ParseChat, Options(R"("repeat_penalty":2,"repeat_last_n":0)")).request.sampling.repetition_penalty, 1.F);
  EXPECT_EQ(Parsed(ParseChat, Options(R"("typical_p":0)")).request.sampling.typical_p, 1.F);
  EXPECT_EQ(Parsed(ParseChat, Options(R"("stop":"a")")).request.stop, std::vector<std::string>{"a"});
  EXPECT_TRUE(Parsed(ParseChat, Options(R"("mirostat":0,"tfs_z":1.0,"repeat_last_n":-1)")).form.ignored.empty());
}

TEST(OllamaParse, WhatHasNoEffectIsNamed) {
  EXPECT_EQ(Parsed(ParseChat, Options(R"("num_ctx":4096,"repeat_last_n":64,"new_thing":1)")).form.ignored,
            (std::vector<std::string>{"options.num_ctx", "options.new_thing", "options.repeat_last_n"}));
  EXPECT_EQ(Parsed(ParseChat, Chat(R"("keep_alive":"5m","truncate":true,"foo":1)")).form.ignored,
            (std::vector<std::string>{"truncate", "foo", "keep_alive"}));
  EXPECT_EQ(Parsed(ParseChat, ChatOf(R"({"role":"user","content":"a"},{"role":"assistant","content":"b","thinking":"t"},
                                        {"role":"user","content":"c","when":1},{"role":"user","content":"d","when":2})"))
                .form.ignored,
            (std::vector<std::string>{"messages[].thinking", "messages[].when"}));
  EXPECT_EQ(Refused(ParseChat, Options(R"("num_ctx":4096)"), /*strict=*/true), "num_ctx");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("keep_alive":0)"), /*strict=*/true), "keep_alive");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("foo":1)"), /*strict=*/true), "foo");
}

TEST(OllamaParse, WhatAsksForNothingIsTaken) {
  const ParsedRequest parsed = Parsed(ParseChat, Chat(
      R"("tools":[],"format":"","think":false,"truncate":false,"shift":false,"keep_alive":null,"stream":false,"options":{})"));
  EXPECT_TRUE(parsed.form.ignored.empty());
  EXPECT_FALSE(parsed.form.stream);
  EXPECT_TRUE(Parsed(ParseGenerate, Generated(R"("suffix":"","template":"","images":[],"context":[],"raw":false)"))
                  .form.ignored.empty());
}

TEST(OllamaParse, ToolsAndThinkingReachTheTemplate) {
  const ParsedRequest parsed = Parsed(ParseChat, Chat(R"("tools":[{"type":"function","function":{"name":"w"}}],"think":true)"));
  EXPECT_EQ(parsed.form.tools.names, std::vector<std::string>{"w"});
  EXPECT_EQ(PromptOf(parsed).kwargs_json, R"({"enable_thinking":true})");
  EXPECT_EQ(PromptOf(Parsed(ParseGenerate, Generated(R"("think":false)"))).kwargs_json, R"({"enable_thinking":false})");
  EXPECT_EQ(PromptOf(Parsed(ParseChat, Chat(R"("think":"low")"))).kwargs_json,
            R"({"enable_thinking":true,"reasoning_effort":"low"})");
}

TEST(OllamaParse, WhatIsNotThereIsRefusedByName) {
  EXPECT_EQ(Refused(ParseChat, Chat(R"("format":"json")")), "format");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("format":{"type":"object"})")), "format");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("tools":[{"type":"function"}])")), "tools[0].function");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("think":"very")")), "think");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("think":1)")), "think");
  EXPECT_EQ(Refused(ParseChat, ChatOf(R"({"role":"user","content":"a","images":["AAAA"]})")), "messages.0.images");
  for (const char* member : {R"("suffix":"x")", R"("template":"{{ .Prompt }}")", R"("context":[1])", R"("images":["AAAA"])",
                             R"("width":64)"}) {
    EXPECT_NE(std::string(member).find(Refused(ParseGenerate, Generated(member))), std::string::npos) << member;
  }
  EXPECT_EQ(Refused(ParseChat, Options(R"("mirostat":1)")), "mirostat");
}

TEST(OllamaParse, WhatIsMissingOrWrongIsNamed) {
  const std::pair<const char*, const char*> kMessages[] = {
      {R"("a")", "messages.0.role"}, {R"({"role":"wizard","content":"a"})", "messages.0.role"},
      {R"({"role":"user","content":5})", "messages.0.content"},
      {R"({"role":"user","content":["a"]})", "messages.0.content"},
      {R"({"role":"user","content":"a","tool_calls":[]})", "messages.0.tool_calls"},
      {R"({"role":"assistant","tool_calls":"x"})", "messages.0.tool_calls"},
      {R"({"role":"assistant","tool_calls":[{"function":{"name":"w","arguments":"{}"}}]})",
       "messages.0.tool_calls.0.function"},
      {R"({"role":"tool","content":"a","tool_name":5})", "messages.0.tool_name"}};
  for (const auto& [message, param] : kMessages) EXPECT_EQ(Refused(ParseChat, ChatOf(message)), param) << message;
  const std::pair<const char*, const char*> kOptionCases[] = {
      {R"("temperature":2.1)", "temperature"}, {R"("top_p":"x")", "top_p"}, {R"("num_predict":1048577)", "num_predict"},
      {R"("num_predict":-3)", "num_predict"}, {R"("stop":[""])", "stop"}, {R"("stop":5)", "stop"},
      {R"("repeat_penalty":0.001)", "repeat_penalty"}, {R"("seed":1.5)", "seed"}};
  for (const auto& [option, param] : kOptionCases) EXPECT_EQ(Refused(ParseChat, Options(option)), param) << option;
  EXPECT_EQ(Refused(ParseChat, Chat(R"("options":[])")), "options");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("top_logprobs":2)")), "top_logprobs");
  EXPECT_EQ(Refused(ParseChat, Chat(R"("stream":"yes")")), "stream");
  EXPECT_EQ(Refused(ParseChat, R"({"messages":[]})"), "model");
  EXPECT_EQ(Refused(ParseGenerate, R"({"model":""})"), "model");
  EXPECT_EQ(Refused(ParseGenerate, R"({"model":"m","prompt":["a"]})"), "prompt");
  EXPECT_EQ(Refused(ParseGenerate, Generated(R"("raw":true,"system":"s")")), "system");
  EXPECT_EQ(Refused(ParseChat, "{"), "");
  EXPECT_EQ(Refused(ParseGenerate, "[]"), "");
}

TEST(OllamaParse, ConversationsArriveAndALastTurnOfTheAssistantIsContinued) {
  const ParsedRequest parsed = Parsed(ParseChat, ChatOf(
      R"({"role":"system","content":"s"},{"role":"user","content":"weather?"},
         {"role":"assistant","content":"","tool_calls":[{"function":{"name":"w","arguments":{"city":"Paris"}}}]},
         {"role":"tool","content":"sunny","tool_name":"w"})"));
  const auto& messages = PromptOf(parsed).messages;
  ASSERT_EQ(messages.size(), 4U);
  const auto calls = codec::ParseJson(messages[2].tool_calls_json);
  ASSERT_TRUE(calls.ok());
  const codec::Json* function = calls->AsArray()->at(0).Find("function");
  EXPECT_EQ(*function->Find("name")->AsString(), "w");
  EXPECT_EQ(*function->Find("arguments")->AsString(), R"({"city":"Paris"})");
  EXPECT_EQ(messages[3].role, "tool");
  EXPECT_EQ(messages[3].name, "w");
  EXPECT_TRUE(PromptOf(parsed).add_generation_prompt);
  const ParsedRequest begun = Parsed(ParseChat, ChatOf(R"({"role":"user","content":"a"},{"role":"assistant","content":"The"})"));
  EXPECT_TRUE(PromptOf(begun).continue_final_message);
  EXPECT_FALSE(PromptOf(begun).add_generation_prompt);
}

TEST(OllamaParse, APromptIsAConversationUnlessItIsRaw) {
  const ParsedRequest parsed = Parsed(ParseGenerate, Generated(R"("system":"Be brief")"));
  ASSERT_EQ(PromptOf(parsed).messages.size(), 2U);
  EXPECT_EQ(PromptOf(parsed).messages[0].role, "system");
  EXPECT_EQ(PromptOf(parsed).messages[0].content, "Be brief");
  EXPECT_EQ(PromptOf(parsed).messages[1].content, "Hi");
  const auto raw = std::get<serving::TextPrompt>(Parsed(ParseGenerate, Generated(R"("raw":true)")).request.prompts.at(0));
  EXPECT_EQ(raw.text, "Hi");
  EXPECT_TRUE(raw.parse_special);
}

TEST(OllamaParse, WithoutAPromptTheModelIsLoadedOrUnloaded) {
  for (const char* body : {R"({"model":"m"})", R"({"model":"m","prompt":"","keep_alive":-1})",
                           R"({"model":"m","keep_alive":"1h30m"})", R"({"model":"m","keep_alive":"-1s"})"}) {
    const ParsedRequest parsed = Parsed(ParseGenerate, body);
    EXPECT_TRUE(parsed.request.prompts.empty() && !parsed.form.unload && !parsed.form.stream) << body;
  }
  for (const char* zero : {"0", "0.0", "\"0\"", "\"0s\"", "\"-0m\"", "\"0h0.0s\""}) {
    EXPECT_TRUE(Parsed(ParseGenerate, R"({"model":"m","keep_alive":)" + std::string(zero) + "}").form.unload) << zero;
    EXPECT_TRUE(Parsed(ParseChat, R"({"model":"m","messages":[],"keep_alive":)" + std::string(zero) + "}").form.unload);
    EXPECT_FALSE(Parsed(ParseChat, Chat("\"keep_alive\":" + std::string(zero))).form.unload);  // not in the middle
  }
  for (const char* wrong : {"\"\"", "\"5\"", "\"m\"", "\"1.2.3s\"", "\".s\"", "\"5 m\"", "\"5d\"", "true", "[]", "\"-\""}) {
    EXPECT_EQ(Refused(ParseGenerate, R"({"model":"m","keep_alive":)" + std::string(wrong) + "}"), "keep_alive") << wrong;
  }
}

TEST(OllamaParse, BoundsHoldOnBothSides) {
  std::string stops, messages, calls;
  for (int i = 0; i < serving::kStopsMax; ++i) stops += stops.empty() ? "\"s\"" : ",\"s\"";
  EXPECT_EQ(Parsed(ParseChat, Options("\"stop\":[" + stops + "]")).request.stop.size(), 16U);
  EXPECT_EQ(Refused(ParseChat, Options("\"stop\":[" + stops + ",\"s\"]")), "stop");
  for (int i = 0; i < serving::kMessagesMax; ++i) messages += std::string(i == 0 ? "" : ",") + R"({"role":"user","content":"a"})";
  EXPECT_EQ(PromptOf(Parsed(ParseChat, ChatOf(messages))).messages.size(), 2048U);
  EXPECT_EQ(Refused(ParseChat, ChatOf(messages + R"(,{"role":"user","content":"a"})")), "messages");
  for (int i = 0; i < 128; ++i) calls += std::string(i == 0 ? "" : ",") + R"({"function":{"name":"w"}})";
  const std::string head = R"({"role":"assistant","tool_calls":[)";
  EXPECT_FALSE(PromptOf(Parsed(ParseChat, ChatOf(head + calls + "]}"))).messages[0].tool_calls_json.empty());
  EXPECT_EQ(Refused(ParseChat, ChatOf(head + calls + R"(,{"function":{"name":"w"}}]})")), "messages.0.tool_calls");
  const auto tool = [](size_t bytes) {
    return ChatOf(R"({"role":"tool","content":"a","tool_name":")" + std::string(bytes, 'n') + "\"}");
  };
  EXPECT_EQ(PromptOf(Parsed(ParseChat, tool(256))).messages[0].name.size(), 256U);
  EXPECT_EQ(Refused(ParseChat, tool(257)), "messages.0.tool_name");
}

TEST(OllamaParse, NamesStandInEitherMember) {
  EXPECT_EQ(ParseName(R"({"model":"m"})", kShow, false)->model, "m");
  EXPECT_EQ(ParseName(R"({"name":"m","verbose":true})", kShow, false)->model, "m");
  EXPECT_FALSE(ParseName(R"({"name":"m","stream":false})", kPull, false)->stream);
  EXPECT_EQ(ParseName(R"({"name":""})", kShow, false).status().param(), "model");
}

}  // namespace
}  // namespace pelton::api::ollama
