#include "api/openai/parse.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pelton::api::openai {
namespace {

using codec::Json;

std::string Chat(const std::string& extra) {
  return R"({"messages":[{"role":"user","content":"Hi"}])" + (extra.empty() ? "" : "," + extra) +
         "}";
}
std::string Completion(const std::string& extra) {
  return R"({"prompt":"Hi")" + (extra.empty() ? "" : "," + extra) + "}";
}

Status StatusOf(Endpoint endpoint, const std::string& extra, bool strict = false) {
  return endpoint == kChat ? ParseChat(Chat(extra), strict).status()
                           : ParseCompletion(Completion(extra), strict).status();
}

// CVE-2026-34756, CVE-2024-8939, CVE-2026-54235, CVE-2026-21869: every numeric field, on both sides
// of both bounds, and with what is no number at all. Generated from the table itself.
TEST(NumericFields, EveryBoundHoldsAndEveryRefusalNamesTheField) {
  int checked = 0;
  for (const FieldRow& row : FieldTable()) {
    const bool number = row.kind == FieldKind::kNumber || row.kind == FieldKind::kInteger;
    if (!number || row.effect != Effect::kHonoured) continue;
    for (const Endpoint endpoint : {kChat, kCompletions}) {
      if ((row.endpoints & endpoint) == 0) continue;
      const std::string with = row.name == "top_logprobs" ? "\"logprobs\":true," : "";
      const auto set = [&](const std::string& value) {
        return StatusOf(endpoint, fmt::format("{}\"{}\":{}", with, row.name, value));
      };
      const auto refused = [&](const std::string& value) {
        const Status status = set(value);
        EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << row.name << " = " << value;
        EXPECT_EQ(status.param(), row.name) << value;
        EXPECT_NE(status.message().find(row.name), std::string::npos);
      };
      const bool bounded = std::isfinite(row.max);
      if (bounded) {
        EXPECT_TRUE(set(fmt::format("{}", row.min)).ok()) << row.name;
        EXPECT_TRUE(set(fmt::format("{}", row.max)).ok()) << row.name;
        refused(fmt::format("{}", row.min - 1));
        refused(fmt::format("{}", row.max + 1));
        refused("-2147483648");
        refused("2147483648");
        refused("9223372036854775808");
        refused("-9223372036854775808");
        refused("1e300");
      } else {  // seed: any 64-bit integer
        EXPECT_TRUE(set("9223372036854775807").ok());
        EXPECT_TRUE(set("-9223372036854775808").ok());
        refused("9223372036854775808");
        refused("1e30");
      }
      if (row.kind == FieldKind::kInteger) refused("1.5");
      refused("\"1\"");
      refused("true");
      refused("[1]");
      refused("{}");
      EXPECT_TRUE(set("null").ok()) << row.name;  // as if it were not there
      for (const char* word : {"NaN", "Infinity", "-Infinity", "1e999", "0x10", "+1", "1."}) {
        EXPECT_EQ(set(word).code(), StatusCode::kInvalidArgument) << row.name << " = " << word;
      }
      ++checked;
    }
  }
  EXPECT_GE(checked, 25);
}

TEST(Fields, WhatCannotBeHonouredIsRefusedByNameUnlessItAsksForNothing) {
  struct Case { Endpoint endpoint; const char* field; const char* refused; const char* fine; };
  const Case cases[] = {
      {kCompletions, "echo", "true", "false"},
      {kCompletions, "suffix", "\"x\"", "\"\""},
      {kCompletions, "best_of", "2", "1"},
      {kChat, "audio", "{\"voice\":\"x\"}", "null"},
      {kChat, "modalities", "[\"text\",\"audio\"]", "[\"text\"]"},
      {kChat, "store", "true", "false"},
      {kChat, "response_format", "{\"type\":\"json_schema\"}", "{\"type\":\"text\"}"},
      {kChat, "response_format", "{\"type\":\"json_object\"}", "null"},
      {kChat, "tool_choice", "\"required\"", "\"auto\""},
      {kChat, "tool_choice", "{\"type\":\"function\"}", "\"none\""},
      {kChat, "function_call", "{\"name\":\"f\"}", "\"auto\""},
      {kChat, "stop_token_ids", "[1]", "[]"},
      {kChat, "min_tokens", "1", "0"},
      {kChat, "guided_json", "{\"a\":1}", "null"},
      {kChat, "chat_template", "\"{{ 1 }}\"", "null"},
      {kChat, "repeat_penalty", "1.1", "1.0"},
      {kChat, "functions", "[{\"name\":\"f\"}]", "[]"},
      {kCompletions, "prompt_embeds", "\"AAAA\"", "null"},
      {kCompletions, "response_format", "{\"type\":\"json_object\"}", "{\"type\":\"text\"}"},
  };
  for (const Case& c : cases) {
    const Status status = StatusOf(c.endpoint, fmt::format("\"{}\":{}", c.field, c.refused));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.field;
    EXPECT_EQ(status.param(), c.field);
    EXPECT_TRUE(StatusOf(c.endpoint, fmt::format("\"{}\":{}", c.field, c.fine)).ok()) << c.field;
  }
}

TEST(Fields, UnknownAndIdleOnesAreNamedOrWithStrictRefused) {
  const auto parsed = ParseChat(
      Chat(R"("foo":1,"user":"u","tools":[],"stop":null,"service_tier":"auto")"),
      false);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->form.ignored, (std::vector<std::string>{"foo", "user"}));
  EXPECT_EQ(StatusOf(kChat, "\"foo\":1", true).param(), "foo");
  EXPECT_EQ(StatusOf(kChat, "\"user\":\"u\"", true).param(), "user");
  EXPECT_TRUE(StatusOf(kChat, "\"temperature\":1", true).ok());
  EXPECT_EQ(ParseChat(R"({"messages":[{"role":"user","content":"x","weight":1}]})", true)
                .status().param(), "messages[].weight");
}

TEST(Fields, TheHeaderOfIgnoredNamesIsPlainAndBounded) {
  EXPECT_EQ(IgnoredHeader(std::vector<std::string>{"a", "b\r\nset-cookie: x"}),
            "a, b??set-cookie??x");
  const std::vector<std::string> many(25, std::string(100, 'n'));
  const std::string header = IgnoredHeader(many);
  EXPECT_LT(header.size(), 20 * 66 + 20);
  EXPECT_TRUE(header.ends_with(", and 5 more"));
}

TEST(ChatParse, EveryRoleAndContentAsTextOrParts) {
  const auto parsed = ParseChat(R"({"model":"m","messages":[
    {"role":"system","content":"s"},{"role":"developer","content":"d"},
    {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"Bob"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
      "function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"c1","content":"4"}]})", false);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const auto& messages =
      std::get<backend::ChatPrompt>(parsed->request.prompts.front()).messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[2].content, "a\nb");
  EXPECT_EQ(messages[2].name, "Bob");
  EXPECT_NE(messages[3].tool_calls_json.find("\"name\":\"f\""), std::string::npos);
  EXPECT_EQ(messages[4].tool_call_id, "c1");
  EXPECT_EQ(parsed->request.model, "m");
}

TEST(ChatParse, BadMessagesAreRefusedByPlace) {
  struct Case { const char* messages; const char* param; };
  const Case cases[] = {
      {"[]", "messages"},
      {"\"hi\"", "messages"},
      {"null", "messages"},
      {"[1]", "messages[0]"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":null}])", "messages[0].content"},
      {R"([{"role":"user","content":5}])", "messages[0].content"},
      {R"([{"role":"wizard","content":"x"}])", "messages[0].role"},
      {R"([{"content":"x"}])", "messages[0].role"},
      {R"([{"role":1,"content":"x"}])", "messages[0].role"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].tool_call_id"},
      {R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}])",
       "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"text":"x"}]}])", "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text"},
      {R"([{"role":"user","content":["x"]}])", "messages[0].content[0].type"},
      {R"([{"role":"assistant","tool_calls":[{}]}])", "messages[0].tool_calls[0].function"},
      {R"([{"role":"assistant","tool_calls":5}])", "messages[0].tool_calls"},
      {R"([{"role":"user","content":"x","name":7}])", "messages[0].name"},
  };
  for (const Case& c : cases) {
    const Status status =
        ParseChat(fmt::format("{{\"messages\":{}}}", c.messages), false).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << c.messages;
    EXPECT_EQ(status.param(), c.param) << c.messages << ": " << status.message();
  }
  EXPECT_EQ(ParseChat("{}", false).status().param(), "messages");
}

TEST(ChatParse, CountsAreBoundedOnBothSides) {
  const auto messages = [](int n) {
    std::string text;
    const std::string one = R"({"role":"user","content":"x"})";
    for (int i = 0; i < n; ++i) text += (i ? "," : "") + one;
    return ParseChat("{\"messages\":[" + text + "]}", false).ok();
  };
  EXPECT_TRUE(messages(serving::kMessagesMax));
  EXPECT_FALSE(messages(serving::kMessagesMax + 1));
  const auto stops = [](int n, size_t bytes) {
    std::string text;
    for (int i = 0; i < n; ++i) text += (i ? "," : "") + ("\"" + std::string(bytes, 's') + "\"");
    return StatusOf(kChat, "\"stop\":[" + text + "]");
  };
  EXPECT_TRUE(stops(16, 256).ok());
  EXPECT_EQ(stops(17, 1).param(), "stop");
  EXPECT_EQ(stops(1, 257).param(), "stop");
  EXPECT_EQ(stops(1, 0).param(), "stop");
  EXPECT_TRUE(StatusOf(kChat, "\"stop\":[]").ok());
  EXPECT_EQ(StatusOf(kChat, "\"stop\":5").param(), "stop");
  EXPECT_EQ(StatusOf(kChat, "\"stop\":[5]").param(), "stop");
  const auto biases = [](int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += fmt::format("{}\"{}\":1", i ? "," : "", i);
    return StatusOf(kChat, "\"logit_bias\":{" + text + "}");
  };
  EXPECT_TRUE(biases(1024).ok());
  EXPECT_EQ(biases(1025).param(), "logit_bias");
}

TEST(ChatParse, LogitBiasTakesTokenIdsAndBoundedNumbersOnly) {
  for (const char* bad : {R"({"a":1})", R"({"-1":1})", R"({"1.5":1})", R"({"":1})", R"({"1":101})",
                          R"({"1":-100.5})", R"({"1":"1"})", R"({"1":null})", "[]",
                          R"({"99999999999":1})"}) {
    EXPECT_EQ(StatusOf(kChat, fmt::format("\"logit_bias\":{}", bad)).param(), "logit_bias") << bad;
  }
  const auto parsed = ParseChat(Chat(R"("logit_bias":{"5":-100,"6":100})"), false);
  EXPECT_EQ(parsed->request.sampling.logit_bias.size(), 2u);
}

TEST(ChatParse, MaxCompletionTokensWinsAndTopLogprobsNeedsLogprobs) {
  EXPECT_EQ(*ParseChat(Chat(R"("max_tokens":5,"max_completion_tokens":7)"), false)
                 ->request.max_tokens, 7);
  EXPECT_EQ(StatusOf(kChat, "\"top_logprobs\":2").param(), "top_logprobs");
  const auto parsed = ParseChat(Chat(R"("logprobs":true,"top_logprobs":20)"), false);
  EXPECT_EQ(parsed->request.sampling.top_logprobs, 20);
  EXPECT_EQ(ParseChat(Chat("\"logprobs\":true"), false)->request.sampling.top_logprobs, 0);
  EXPECT_EQ(ParseChat(Chat(""), false)->request.sampling.top_logprobs, -1);
}

TEST(ChatParse, PriorityTimeoutAndTimings) {
  const auto plain = ParseChat(Chat(""), false);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->request.priority, 0);
  EXPECT_EQ(plain->timeout_s, 0);
  EXPECT_FALSE(plain->form.timings);
  const auto given = ParseChat(Chat(R"("priority":-3,"timeout":1.5,"timings":true)"), true);
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->request.priority, 3);  // lower goes first outside, higher inside
  EXPECT_EQ(given->timeout_s, 1.5);
  EXPECT_TRUE(given->form.timings);
  EXPECT_EQ(StatusOf(kChat, R"("timeout":0)").param(), "timeout");
  EXPECT_EQ(StatusOf(kCompletions, R"("priority":101)").param(), "priority");
}

TEST(ChatParse, StreamOptionsBelongToStreams) {
  EXPECT_EQ(StatusOf(kChat, "\"stream_options\":{\"include_usage\":true}").param(),
            "stream_options");
  EXPECT_TRUE(ParseChat(Chat(R"("stream":true,"stream_options":{"include_usage":true})"), false)
                  ->form.include_usage);
  EXPECT_EQ(StatusOf(kChat, "\"stream\":true,\"stream_options\":{\"include_usage\":1}").param(),
            "stream_options.include_usage");
}

// CVE-2025-62426, CVE-2025-61620: template variables by name only, templates not at all.
TEST(ChatParse, TemplateVariablesAreAllowListed) {
  EXPECT_TRUE(StatusOf(kChat, R"("chat_template_kwargs":{"enable_thinking":false})").ok());
  for (const char* bad : {R"({"tokenize":true})", R"({"chat_template":"x"})",
                          R"({"enable_thinking":[1]})", R"({"messages":[]})"}) {
    EXPECT_EQ(StatusOf(kChat, fmt::format("\"chat_template_kwargs\":{}", bad)).param(),
              "chat_template_kwargs") << bad;
  }
}

TEST(ChatParse, ContinuingNeedsAnAssistantLast) {
  EXPECT_EQ(StatusOf(kChat, "\"continue_final_message\":true").param(), "continue_final_message");
  EXPECT_TRUE(ParseChat(R"({"continue_final_message":true,"messages":[
    {"role":"assistant","content":"a"}]})", false).ok());
  EXPECT_FALSE(ParseChat(R"({"continue_final_message":true,"add_generation_prompt":true,"messages":[
    {"role":"assistant","content":"a"}]})", false).ok());
}

TEST(Bodies, WhatIsNoJsonObjectIsRefusedWithItsPlace) {
  for (const std::string& bad :
       {std::string(""), std::string("{"), std::string("[]"), std::string("null"),
        std::string("\"x\""), std::string("{\"messages\":[}"), std::string("{'a':1}"),
        std::string("{\"a\":1,}"), std::string("\xff\xfe"), std::string(R"({"a":"\ud800"})"),
        std::string("{\"a\":1}x"), std::string(10000, '['), std::string(1000000, '['),
        std::string(R"({"model":"a","model":"b"})"), std::string("{\"a\":\"\x01\"}")}) {
    EXPECT_EQ(ParseChat(bad, false).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(ParseCompletion(bad, false).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(ParseTokenize(bad, false).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(ParseDetokenize(bad, false).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(CompletionParse, PromptsOfEveryForm) {
  const auto count = [](const char* prompt) {
    const auto parsed = ParseCompletion(fmt::format("{{\"prompt\":{}}}", prompt), false);
    return parsed.ok() ? static_cast<int>(parsed->request.prompts.size()) : -1;
  };
  EXPECT_EQ(count("\"a\""), 1);
  EXPECT_EQ(count("[\"a\",\"b\"]"), 2);
  EXPECT_EQ(count("[1,2,3]"), 1);
  EXPECT_EQ(count("[[1],[2,3]]"), 2);
  EXPECT_EQ(count("[]"), -1);
  EXPECT_EQ(count("null"), -1);
  EXPECT_EQ(count("5"), -1);
  EXPECT_EQ(count("{}"), -1);
  EXPECT_EQ(count("[1,\"a\"]"), -1);
  EXPECT_EQ(count("[1.5]"), -1);
  EXPECT_EQ(count("[-1]"), -1);
  EXPECT_EQ(count("[2147483648]"), -1);
  EXPECT_EQ(count("[[[1]]]"), -1);
  EXPECT_EQ(count("[true]"), -1);
}

TEST(CompletionParse, PromptsTimesChoicesIsBounded) {
  const auto status = [](int prompts, int n) {
    std::string text;
    for (int i = 0; i < prompts; ++i) text += i ? ",\"x\"" : "\"x\"";
    return ParseCompletion(fmt::format("{{\"prompt\":[{}],\"n\":{}}}", text, n), false).status();
  };
  EXPECT_TRUE(status(256, 1).ok());
  EXPECT_EQ(status(257, 1).param(), "prompt");
  EXPECT_TRUE(status(32, 8).ok());
  EXPECT_EQ(status(33, 8).param(), "n");
}

TEST(CompletionParse, DefaultsAreOpenAis) {
  const auto parsed = ParseCompletion(Completion(""), false);
  EXPECT_EQ(*parsed->request.max_tokens, 16);
  EXPECT_EQ(parsed->request.n, 1);
  EXPECT_FALSE(parsed->form.logprobs);
  EXPECT_EQ(ParseCompletion(Completion("\"logprobs\":0"), false)->request.sampling.top_logprobs, 0);
}

TEST(TokenizeParse, BothShapesAndOnlyOneAtATime) {
  EXPECT_TRUE(ParseTokenize(R"({"content":"a","add_special":true,"with_pieces":true})", false)
                  ->llama_cpp);
  EXPECT_FALSE(ParseTokenize(R"({"prompt":"a"})", false)->llama_cpp);
  EXPECT_FALSE(ParseTokenize(R"({"prompt":"a"})", false)->parse_special);
  EXPECT_TRUE(ParseTokenize(R"({"messages":[{"role":"user","content":"a"}]})", false).ok());
  EXPECT_FALSE(ParseTokenize(R"({"prompt":"a","content":"b"})", false).ok());
  EXPECT_FALSE(ParseTokenize("{}", false).ok());
  EXPECT_FALSE(ParseTokenize(R"({"prompt":["a"]})", false).ok());
  EXPECT_EQ(ParseDetokenize(R"({"tokens":[1,2]})", false)->tokens.size(), 2u);
  for (const char* bad : {"{}", R"({"tokens":"1"})", R"({"tokens":["1"]})", R"({"tokens":[-1]})",
                          R"({"tokens":[1e20]})"}) {
    EXPECT_EQ(ParseDetokenize(bad, false).status().param(), "tokens") << bad;
  }
}

}  // namespace
}  // namespace pelton::api::openai
