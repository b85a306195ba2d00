#include "api/turn/answer_reader.h"

#include <gtest/gtest.h>

#include <random>

namespace pelton::api::turn {
namespace {

using backend::ToolSyntax;
using Kind = AnswerPart::Kind;
using Parts = std::vector<AnswerPart>;

AnswerPart T(std::string text) { return {Kind::kText, std::move(text), 0}; }
AnswerPart R(std::string text) { return {Kind::kReasoning, std::move(text), 0}; }
AnswerPart C(std::string name, int call = 0) { return {Kind::kCall, std::move(name), call}; }
AnswerPart A(std::string text, int call = 0) { return {Kind::kArguments, std::move(text), call}; }

void Join(Parts more, Parts* out) {
  for (AnswerPart& part : more) {
    if (!out->empty() && part.kind != Kind::kCall && out->back().kind == part.kind && out->back().call == part.call) {
      out->back().text += part.text;
    } else {
      out->push_back(std::move(part));
    }
  }
}

// In pieces of `cut` bytes; 0: of random lengths.
Parts ReadIn(const AnswerRules& rules, std::string_view text, size_t cut, std::mt19937* random) {
  AnswerReader reader(rules);
  Parts all;
  while (!text.empty()) {
    const size_t n = std::min(text.size(), cut > 0 ? cut : 1 + (*random)() % 9);
    Parts parts;
    reader.Push(text.substr(0, n), &parts);
    Join(std::move(parts), &all);
    text.remove_prefix(n);
  }
  Parts last;
  reader.Finish(&last);
  Join(std::move(last), &all);
  return all;
}

// The same however the text is cut.
Parts Read(const AnswerRules& rules, std::string_view text) {
  std::mt19937 random(7);
  const Parts whole = ReadIn(rules, text, text.size() + 1, &random);
  EXPECT_EQ(ReadIn(rules, text, 1, &random), whole) << text;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(ReadIn(rules, text, 0, &random), whole) << text;
  return whole;
}

AnswerRules Rules(ToolSyntax syntax) { return {.syntax = syntax, .tools = {"get_weather", "add"}}; }
const AnswerRules kTags = Rules(ToolSyntax::kTags);

constexpr char kCall[] = R"(<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris \"}\" <tool_call>", "days": [1, 2]}}
</tool_call>)";
constexpr char kArguments[] = R"({"city": "Paris \"}\" <tool_call>", "days": [1, 2]})";

TEST(AnswerReader, TextWithoutCallsIsTheText) {
  const std::string text = " Two \n\n<tool_cal and <b>, {\"name\": \"add\"} \n";
  EXPECT_EQ(Read(kTags, text), Parts{T(text)});
  EXPECT_EQ(Read({}, kCall), Parts{T(kCall)});  // no tools: nothing is a call
  EXPECT_EQ(Read(kTags, ""), Parts{});
  EXPECT_EQ(Read(kTags, " \n"), Parts{T(" \n")});
}

TEST(AnswerReader, ACallBehindTextAndOneMore) {
  const std::string text = std::string("Let me look.\n\n") + kCall +
                           "\n<tool_call>{\"arguments\":{\"a\":1},\"name\":\"add\"}</tool_call>\n";
  EXPECT_EQ(Read(kTags, text), (Parts{T("Let me look."), C("get_weather"), A(kArguments), C("add", 1),
                                      A("{\"a\":1}", 1)}));
  EXPECT_EQ(Read(kTags, std::string(kCall) + "\n\nDone. \n"),
            (Parts{C("get_weather"), A(kArguments), T("Done.")}));
}

TEST(AnswerReader, ArgumentsAsTextOrMissing) {
  EXPECT_EQ(Read(kTags, R"(<tool_call>{"name":"add","arguments":"{\"a\": 1}"}</tool_call>)"),
            (Parts{C("add"), A("{\"a\": 1}")}));
  for (const char* tail : {"}", ",\"arguments\":null}", ",\"arguments\":{}}", ",\"id\":7,\"x\":[{}]}"}) {
    EXPECT_EQ(Read(kTags, std::string("<tool_call>{\"name\":\"add\"") + tail + "</tool_call>"),
              (Parts{C("add"), A("{}")}));
  }
}

TEST(AnswerReader, WhatOnlyLooksLikeACallStaysText) {
  for (const char* text : {"<tool_call>no object</tool_call>", "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}",
                           "<tool_call>{\"arguments\": {}}</tool_call>", "<tool_call>{\"name\": 7}</tool_call>",
                           "<tool_call>{name: add}</tool_call>", "<tool_call>{\"name\": \"add", "<tool_call>",
                           "<tool_call>{\"name\": [\"add\"]}", "<tool_call>{\"name\" \"add\"}"}) {
    EXPECT_EQ(Read(kTags, text), Parts{T(text)});
  }
}

TEST(AnswerReader, ACallThatIsCutOffKeepsWhatCame) {
  EXPECT_EQ(Read(kTags, R"(<tool_call>{"name": "add", "arguments": {"a": 1)"), (Parts{C("add"), A("{\"a\": 1")}));
  EXPECT_EQ(Read(kTags, R"(<tool_call>{"name": "add")"), Parts{C("add")});
}

TEST(AnswerReader, AForgottenBraceEndsTheCallWhereTextGoesOn) {
  EXPECT_EQ(Read(kTags, "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1}\n</tool_call>\nSo."),
            (Parts{C("add"), A("{\"a\": 1}"), T("So.")}));
}

TEST(AnswerReader, OneCallOnlyWhenAsked) {
  AnswerRules rules = kTags;
  rules.one_call = true;
  EXPECT_EQ(Read(rules, std::string(kCall) + kCall + "more"), (Parts{C("get_weather"), A(kArguments)}));
}

TEST(AnswerReader, Llama3) {
  const AnswerRules rules = Rules(ToolSyntax::kJson);
  EXPECT_EQ(Read(rules, R"( {"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {}})"),
            (Parts{C("add"), A("{\"a\": 1}"), C("add", 1), A("{}", 1)}));
  EXPECT_EQ(Read(rules, R"(<|python_tag|>{"type": "function", "name": "add", "parameters": {"a": 1}})"),
            (Parts{C("add"), A("{\"a\": 1}")}));
  for (const char* text : {R"({"answer": {"name": "add"}})", R"(As JSON: {"name": "add", "parameters": {}})", "{}"}) {
    EXPECT_EQ(Read(rules, text), Parts{T(text)});
  }
}

TEST(AnswerReader, WhatPartsCallsIsTextWhereNothingPartsThem) {
  EXPECT_EQ(Read(kTags, "<tool_call>{\"name\": \"add\"}</tool_call>, then;"), (Parts{C("add"), A("{}"), T(", then;")}));
}

TEST(AnswerReader, Mistral) {
  const AnswerRules rules = Rules(ToolSyntax::kMistral);
  const Parts two = {C("add"), A("{\"a\": 1}"), C("get_weather", 1), A("{}", 1)};
  EXPECT_EQ(Read(rules, R"([TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}, {"name": "get_weather", "arguments": {}}])"),
            two);
  EXPECT_EQ(Read(rules, R"([TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]get_weather[CALL_ID]x1[ARGS]{})"), two);
  EXPECT_EQ(Read(rules, "[TOOL_CALLS]nobody[ARGS]{}"), Parts{T("[TOOL_CALLS]nobody[ARGS]{}")});
}

TEST(AnswerReader, Phi) {
  EXPECT_EQ(Read(Rules(ToolSyntax::kPhi), R"(<|tool_call|>[{"name": "add", "arguments": {"a": 1}}]<|/tool_call|> ok)"),
            (Parts{C("add"), A("{\"a\": 1}"), T("ok")}));
}

TEST(AnswerReader, ThoughtsStandApart) {
  AnswerRules rules = kTags;
  rules.thinks = true;
  EXPECT_EQ(Read(rules, "\n<think>\nFirst.\n\nThen </thin.\n</think>\n\nHello"),
            (Parts{R("First.\n\nThen </thin."), T("Hello")}));
  EXPECT_EQ(Read(rules, "<thin, he said. <think>x</think>"), Parts{T("<thin, he said. <think>x</think>")});
  EXPECT_EQ(Read(rules, "<think>\n\n</think>\n\nHi"), Parts{T("Hi")});
  EXPECT_EQ(Read(rules, "<think>cut off </th"), Parts{R("cut off </th")});
  EXPECT_EQ(Read(rules, std::string("<think>a</think>\n") + kCall), (Parts{R("a"), C("get_weather"), A(kArguments)}));
  rules.opens_thinking = true;
  EXPECT_EQ(Read(rules, "\nWell.\n</think>Yes "), (Parts{R("Well."), T("Yes ")}));
  EXPECT_EQ(Read(rules, "\n \n"), Parts{});
}

// Both sides of the bound on what is held back.
TEST(AnswerReader, ALongCallIsHeldBackOnlySoFar) {
  const auto call = [](size_t bytes) {
    const std::string begin = R"(<tool_call>{"arguments": {"a": ")", end = R"("}, "name": "add"})";
    return begin + std::string(bytes - begin.size() - end.size(), 'x') + end;
  };
  std::mt19937 random(1);
  // The name is known one byte before the end.
  EXPECT_EQ(ReadIn(kTags, call(kCallHeldMax + 1), 4096, &random).front().kind, Kind::kCall);
  EXPECT_EQ(ReadIn(kTags, call(kCallHeldMax + 2), 4096, &random).front().kind, Kind::kText);
}

// A name first: its arguments leave at once, however long.
TEST(AnswerReader, ArgumentsAreStreamed) {
  AnswerReader reader(kTags);
  Parts parts;
  reader.Push(R"(<tool_call>{"name": "add", "arguments": {"a": "x)", &parts);
  EXPECT_EQ(parts, (Parts{C("add"), A("{\"a\": \"x")}));
}

TEST(AnswerReader, AnyTextIsReadTheSameInAnyCuts) {
  const std::vector<std::string> words = {"<tool_call>", "</tool_call>", "{", "}", "\"name\"", ":", "\"add\"", ",",
                                          "\"arguments\"", "[", "]", " ", "\n", "<think>", "</think>", "x", "\\", "\"",
                                          "[TOOL_CALLS]", "[ARGS]", "add", "<|tool_call|>", "<|python_tag|>", ";"};
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    AnswerRules rules = Rules(static_cast<ToolSyntax>(random() % 4));
    rules.thinks = random() % 2 == 0;
    rules.one_call = random() % 4 == 0;
    std::string text;
    for (size_t i = random() % 24; i > 0; --i) text += words[random() % words.size()];
    ASSERT_EQ(ReadIn(rules, text, 1, &random), ReadIn(rules, text, text.size() + 1, &random)) << text;
  }
}

}  // namespace
}  // namespace pelton::api::turn
