#include <gtest/gtest.h>

#include "api/llamacpp/answer.h"
#include "api/llamacpp/parse.h"
#include "codec/json.h"
#include "codec/sse.h"

namespace pelton::api::llamacpp {
namespace {

using backend::Delta;
using backend::FinishReason;
using codec::Json;

// The parameter that the refusal names.
std::string Refused(const std::string& body, bool strict = false) {
  const auto parsed = ParseCompletion(body, strict);
  EXPECT_FALSE(parsed.ok()) << body;
  return parsed.ok() ? "accepted" : parsed.status().param();
}

std::string With(const std::string& members) { return R"({"prompt":"Hi",)" + members + "}"; }

TEST(LlamaCppParse, EveryFieldArrives) {
  const auto parsed = ParseCompletion(With(
      R"("model":"m","stream":true,"n_predict":5,"temperature":0.5,"top_k":7,"top_p":0.9,"min_p":0.1,"typical_p":0.8,
         "repeat_penalty":1.1,"presence_penalty":0.2,"frequency_penalty":0.3,"seed":42,"stop":["a"],"ignore_eos":true)"), false);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const serving::GenerateRequest& request = parsed->request;
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.max_tokens, 5);
  EXPECT_EQ(request.sampling.temperature, 0.5F);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1F);
  EXPECT_EQ(request.sampling.seed, 42);
  EXPECT_EQ(request.stop, std::vector<std::string>{"a"});
  EXPECT_TRUE(request.ignore_eos && parsed->form.stream && parsed->form.ignored.empty());
  EXPECT_TRUE(std::get<serving::TextPrompt>(request.prompts.at(0)).parse_special);
}

TEST(LlamaCppParse, PromptsAreATextOrTokenIds) {
  const auto ids = ParseCompletion(R"({"prompt":[1,2,3]})", false);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(std::get<serving::TokenPrompt>(ids->request.prompts.at(0)).size(), 3U);
  for (const char* prompt : {"null", "5", "[]", R"(["a","b"])", "[1,\"a\"]", "[-1]", "[2147483648]", R"({"prompt_string":"a"})"}) {
    EXPECT_EQ(Refused(R"({"prompt":)" + std::string(prompt) + "}"), "prompt") << prompt;
  }
}

TEST(LlamaCppParse, WhatCannotBeDoneIsRefusedAndWhatHasNoEffectIsNamed) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"("grammar":"root ::= x")", "grammar"}, {R"("json_schema":{"type":"object"})", "json_schema"},
      {R"("n_probs":2)", "n_probs"}, {R"("mirostat":1)", "mirostat"}, {R"("temperature":2.5)", "temperature"},
      {R"("n_predict":-3)", "n_predict"}, {R"("stop":"a")", "stop"}, {R"("stop":[""])", "stop"}};
  for (const auto& [member, param] : kCases) EXPECT_EQ(Refused(With(member)), param) << member;
  const auto parsed = ParseCompletion(With(R"("cache_prompt":true,"id_slot":-1,"n_predict":-1,"grammar":"","seed":-1)"), false);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->form.ignored, std::vector<std::string>{"cache_prompt"});
  EXPECT_FALSE(parsed->request.max_tokens || parsed->request.sampling.seed);
  EXPECT_EQ(Refused(With(R"("cache_prompt":true)"), /*strict=*/true), "cache_prompt");
}

class FakeExchange final : public net::Exchange {
 public:
  const net::RequestHead& head() const override { return head_; }
  const std::string& body() const override { return body_; }
  void Respond(net::Response response) override { response_ = std::move(response); }
  void StartStream(int, net::Headers) override {}
  void Write(std::string data) override { written_ += data; }
  void Finish() override { finished_ = true; }
  void Abort() override {}
  size_t buffered_bytes() const override { return written_.size(); }
  void OnClosed(std::function<void()>) override {}
  void OnDrained(std::function<void()>) override {}

  net::RequestHead head_;
  std::string body_, written_;
  net::Response response_;
  bool finished_ = false;
};

class LlamaCppAnswer : public ::testing::Test {
 protected:
  AnswerParts Parts() { return {.exchange = exchange_, .model = "m", .ignored_header = "", .notes = notes_}; }
  static Delta Make(std::string text, std::optional<FinishReason> finish = {}, std::string stop = {}) {
    Delta delta;
    delta.text = std::move(text);
    delta.finish = finish;
    delta.stop_match = std::move(stop);
    delta.usage = {.prompt_tokens = 9, .completion_tokens = 2, .cached_tokens = 4};
    return delta;
  }
  std::vector<Json> Events() {
    std::vector<Json> events;
    codec::SseParser parser;
    EXPECT_TRUE(parser.Push(exchange_->written_, [&](const codec::SseEvent& event) {
      auto data = codec::ParseJson(event.data);
      ASSERT_TRUE(data.ok()) << event.data;
      events.push_back(*std::move(data));
    }).ok());
    return events;
  }
  std::shared_ptr<Notes> notes_ = std::make_shared<Notes>();
  std::shared_ptr<FakeExchange> exchange_ = std::make_shared<FakeExchange>();
};

TEST_F(LlamaCppAnswer, AStreamEndsWithTheFigures) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("Hel"));
  answer->OnDelta(0, Make("lo", FinishReason::kStop));
  answer->OnFinished({});
  const auto events = Events();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(*events[0].Find("content")->AsString(), "Hel");
  EXPECT_EQ(events[1].Find("stop")->AsBool(), false);
  EXPECT_EQ(events[2].Find("stop")->AsBool(), true);
  EXPECT_EQ(*events[2].Find("stop_type")->AsString(), "eos");
  EXPECT_EQ(events[2].Find("tokens_evaluated")->AsInt(), 9);
  EXPECT_EQ(events[2].Find("timings")->Find("prompt_n")->AsInt(), 5);
  EXPECT_EQ(events[2].Find("timings")->Find("predicted_n")->AsInt(), 2);
  EXPECT_TRUE(exchange_->finished_);
}

TEST_F(LlamaCppAnswer, AWholeAnswerSaysWhyItEnded) {
  const struct {
    FinishReason finish;
    std::string stop, type;
  } kCases[] = {{FinishReason::kStop, "", "eos"}, {FinishReason::kStop, "END", "word"}, {FinishReason::kLength, "", "limit"}};
  for (const auto& c : kCases) {
    const auto answer = MakeWholeAnswer(Parts());
    answer->OnDelta(0, Make("Hello", c.finish, c.stop));
    answer->OnFinished({});
    const auto body = codec::ParseJson(exchange_->response_.body);
    ASSERT_TRUE(body.ok());
    EXPECT_EQ(*body->Find("content")->AsString(), "Hello");
    EXPECT_EQ(*body->Find("stop_type")->AsString(), c.type);
    EXPECT_EQ(*body->Find("stopping_word")->AsString(), c.stop);
  }
}

TEST_F(LlamaCppAnswer, AnErrorBeforeAnythingWasSentHasItsStatusAndOneLaterIsTheLastEvent) {
  auto answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("", FinishReason::kCancelled));
  answer->OnFinished({});
  EXPECT_EQ(exchange_->response_.status, 503);
  answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("Hel"));
  answer->OnDelta(0, Make("", FinishReason::kCancelled));
  answer->OnFinished({});
  EXPECT_NE(Events().back().Find("error"), nullptr);
  EXPECT_TRUE(exchange_->finished_);
}

}  // namespace
}  // namespace pelton::api::llamacpp
