#include "api/openai/shape.h"

#include <gtest/gtest.h>

#include "codec/json.h"

namespace pelton::api::openai {
namespace {

using backend::Delta;
using backend::FinishReason;
using codec::Json;

AnswerHead Head(bool logprobs = false, bool usage = false) {
  return {.id = "id-1", .model = "m", .fingerprint = "f", .created_s = 5, .n = 2,
          .logprobs = logprobs, .include_usage = usage};
}

Json Parsed(const std::string& text) {
  auto json = codec::ParseJson(text);
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? *json : Json();
}

const Json& At(const Json& json, std::string_view key) {
  const Json* member = json.Find(key);
  EXPECT_NE(member, nullptr) << key;
  return *member;
}

Delta TextDelta(std::string text) {
  Delta delta;
  delta.text = std::move(text);
  return delta;
}

TEST(ChatShape, TheRoleComesFirstThenTextThenTheReason) {
  const auto shape = ChatShape(Head(), 2);
  std::vector<std::string> chunks;
  shape->AppendChunks(0, TextDelta("a\"\n"), &chunks);
  shape->AppendChunks(1, TextDelta("x"), &chunks);
  Delta last = TextDelta("b");
  last.finish = FinishReason::kLength;
  shape->AppendChunks(0, last, &chunks);
  ASSERT_EQ(chunks.size(), 6u);
  const auto choice = [&](size_t i) { return (*At(Parsed(chunks[i]), "choices").AsArray())[0]; };
  EXPECT_EQ(*At(At(choice(0), "delta"), "role").AsString(), "assistant");
  EXPECT_EQ(*At(At(choice(1), "delta"), "content").AsString(), "a\"\n");
  EXPECT_EQ(*At(choice(2), "index").AsInt(), 1);
  EXPECT_EQ(*At(At(choice(4), "delta"), "content").AsString(), "b");
  EXPECT_TRUE(At(choice(4), "finish_reason").is_null());
  EXPECT_EQ(*At(choice(5), "finish_reason").AsString(), "length");
  EXPECT_EQ(Parsed(chunks[0]).Find("usage"), nullptr);
}

// Thoughts and calls have members of their own, streamed and whole.
TEST(ChatShape, ThoughtsAndCallsStandApart) {
  AnswerHead head = Head();
  head.rules.tools = {"w"};
  head.rules.thinks = true;
  const std::string text = "<think>Hm.</think>Look: <tool_call>{\"name\":\"w\",\"arguments\":{\"a\":1}}</tool_call>";
  const auto shape = ChatShape(head, 1);
  std::vector<std::string> chunks;
  for (const char c : text) shape->AppendChunks(0, TextDelta(std::string(1, c)), &chunks);
  Delta last;
  last.finish = FinishReason::kStop;
  shape->AppendChunks(0, last, &chunks);
  std::string content, reasoning, arguments, name, reason;
  for (const std::string& chunk : chunks) {
    const Json json = Parsed(chunk);
    const Json& choice = (*At(json, "choices").AsArray())[0];
    const Json& delta = At(choice, "delta");
    if (const Json* v = delta.Find("content")) content += *v->AsString();
    if (const Json* v = delta.Find("reasoning_content")) reasoning += *v->AsString();
    if (const std::string* v = At(choice, "finish_reason").AsString()) reason = *v;
    if (const Json* calls = delta.Find("tool_calls")) {
      const Json& function = At((*calls->AsArray())[0], "function");
      if (const Json* v = function.Find("name")) name += *v->AsString();
      arguments += *At(function, "arguments").AsString();
    }
  }
  EXPECT_EQ(content, "Look:");
  EXPECT_EQ(reasoning, "Hm.");
  EXPECT_EQ(name, "w");
  EXPECT_EQ(arguments, "{\"a\":1}");
  EXPECT_EQ(reason, "tool_calls");

  std::vector<Choice> choices(1);
  choices[0].text = text;
  choices[0].finish = FinishReason::kStop;
  const Json whole = Parsed(shape->Whole(choices));
  const Json& choice = (*At(whole, "choices").AsArray())[0];
  const Json& message = At(choice, "message");
  EXPECT_EQ(*At(message, "content").AsString(), "Look:");
  EXPECT_EQ(*At(message, "reasoning_content").AsString(), "Hm.");
  EXPECT_EQ(*At(At((*At(message, "tool_calls").AsArray())[0], "function"), "arguments").AsString(), "{\"a\":1}");
  EXPECT_EQ(*At(choice, "finish_reason").AsString(), "tool_calls");
}

TEST(ChatShape, UsageCountsAPromptOnceAndEveryAnswer) {
  const auto shape = ChatShape(Head(false, true), 4);
  std::vector<Choice> choices(4);
  for (Choice& choice : choices) {
    choice.finish = FinishReason::kStop;
    choice.usage = {.prompt_tokens = 10, .completion_tokens = 3, .cached_tokens = 4};
  }
  const Json usage = At(Parsed(shape->UsageChunk(choices)), "usage");
  EXPECT_EQ(*At(usage, "prompt_tokens").AsInt(), 20);  // two prompts, n = 2
  EXPECT_EQ(*At(usage, "completion_tokens").AsInt(), 12);
  EXPECT_EQ(*At(usage, "total_tokens").AsInt(), 32);
  EXPECT_EQ(*At(At(usage, "prompt_tokens_details"), "cached_tokens").AsInt(), 8);
  EXPECT_TRUE(At(Parsed(shape->UsageChunk(choices)), "choices").AsArray()->empty());
  std::vector<std::string> chunks;
  shape->AppendChunks(0, TextDelta("a"), &chunks);
  EXPECT_TRUE(At(Parsed(chunks[0]), "usage").is_null());
}

TEST(ChatShape, LogprobsKeepTheBytesOfHalfCharacters) {
  const auto shape = ChatShape(Head(true), 1);
  Choice choice;
  choice.text = "€";
  choice.finish = FinishReason::kStop;
  choice.tokens = {{7, "\xe2\x82", -0.5f, {{"\xe2\x82", -0.5f}, {"a", -1.f}}},
                   {8, "\xac", -0.25f, {}}};
  const Json whole = Parsed(shape->Whole(std::vector<Choice>{choice}));
  const Json& first = (*At(whole, "choices").AsArray())[0];
  const Json::Array& content = *At(At(first, "logprobs"), "content").AsArray();
  ASSERT_EQ(content.size(), 2u);
  EXPECT_EQ(At(content[0], "bytes").AsArray()->size(), 2u);
  EXPECT_EQ(*At(content[0], "logprob").AsDouble(), -0.5);
  EXPECT_EQ(At(content[0], "top_logprobs").AsArray()->size(), 2u);
  EXPECT_EQ(*At(At(first, "message"), "content").AsString(), "€");
}

TEST(CompletionShape, LogprobsCountCharactersAlsoOverChunks) {
  const auto shape = CompletionShape(Head(true), 1);
  std::vector<std::string> chunks;
  Delta a = TextDelta("é");
  a.tokens = {{1, "é", -1.f, {{"e", -0.5f}}}};
  Delta b = TextDelta("x");
  b.tokens = {{2, "x", -2.f, {{"x", -2.f}, {"x", -3.f}}}};
  b.finish = FinishReason::kStop;
  shape->AppendChunks(0, a, &chunks);
  shape->AppendChunks(0, b, &chunks);
  ASSERT_EQ(chunks.size(), 2u);
  const auto logprobs = [&](size_t i) {
    return At((*At(Parsed(chunks[i]), "choices").AsArray())[0], "logprobs");
  };
  EXPECT_EQ(*(*At(logprobs(0), "text_offset").AsArray())[0].AsInt(), 0);
  EXPECT_EQ(*(*At(logprobs(1), "text_offset").AsArray())[0].AsInt(), 1);
  const Json first_top = (*At(logprobs(0), "top_logprobs").AsArray())[0];
  EXPECT_EQ(first_top.AsObject()->size(), 2u);  // the chosen token joins the best
  const Json second_top = (*At(logprobs(1), "top_logprobs").AsArray())[0];
  EXPECT_EQ(*At(second_top, "x").AsDouble(), -2);  // two ids of one text: the better
}

TEST(CompletionShape, BytesThatAreNoTextAreSpelledOut) {
  EXPECT_EQ(TokenText("abc"), "abc");
  EXPECT_EQ(TokenText("\xe2\x82"), "bytes:\\xe2\\x82");
}

}  // namespace
}  // namespace pelton::api::openai
