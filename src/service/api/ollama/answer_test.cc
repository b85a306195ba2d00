#include "api/ollama/answer.h"

#include <gtest/gtest.h>

#include <sstream>

#include "api/ollama/error.h"
#include "api/ollama/moment.h"
#include "api/ollama/names.h"
#include "codec/json.h"

namespace pelton::api::ollama {
namespace {

using backend::Delta;
using backend::FinishReason;
using codec::Json;

class FakeExchange final : public net::Exchange {
 public:
  const net::RequestHead& head() const override { return head_; }
  const std::string& body() const override { return body_; }
  void Respond(net::Response response) override { response_ = std::move(response); }
  void StartStream(int status, net::Headers headers) override {
    response_.status = status;
    response_.headers = std::move(headers);
  }
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

class OllamaAnswer : public ::testing::Test {
 protected:
  AnswerParts Parts(bool chat = true) {
    return {.exchange = exchange_, .head = {.chat = chat, .model = "m:latest", .logprobs = logprobs_},
            .ignored_header = "foo", .write_buffer_max = 100, .arrived_ns = 0, .load_ns = 7, .notes = notes_,
            .stream_begun = false};
  }
  static Delta Make(std::string text, std::optional<FinishReason> finish = {}) {
    Delta delta;
    delta.text = std::move(text);
    delta.finish = finish;
    delta.usage = {.prompt_tokens = 9, .completion_tokens = 2, .cached_tokens = 4, .queue_ns = 10, .first_token_ns = 30,
                   .total_ns = 100};
    return delta;
  }
  // Every line is one object.
  std::vector<Json> Lines() {
    std::vector<Json> lines;
    EXPECT_TRUE(exchange_->written_.empty() || exchange_->written_.ends_with('\n'));
    for (size_t at = 0; at < exchange_->written_.size();) {
      const size_t end = exchange_->written_.find('\n', at);
      auto line = codec::ParseJson(std::string_view(exchange_->written_).substr(at, end - at));
      EXPECT_TRUE(line.ok());
      if (line.ok()) lines.push_back(*std::move(line));
      at = end + 1;
    }
    return lines;
  }
  bool logprobs_ = false;
  std::shared_ptr<Notes> notes_ = std::make_shared<Notes>();
  std::shared_ptr<FakeExchange> exchange_ = std::make_shared<FakeExchange>();
};

// Thoughts have their member; a call comes whole, with its arguments as an object.
TEST_F(OllamaAnswer, ThoughtsAndCallsStandApart) {
  const std::string text = "<think>Hm.</think>Look: <tool_call>{\"name\":\"w\",\"arguments\":{\"a\":1}}</tool_call>"
                           "<tool_call>{\"name\":\"w\",\"arguments\":{\"a\":2";
  AnswerParts parts = Parts();
  parts.rules.tools = {"w"};
  parts.rules.thinks = true;
  const auto read = [](const Json& json, std::string* content, std::string* thinking, std::string* calls) {
    const Json& message = *json.Find("message");
    *content += *message.Find("content")->AsString();
    if (const Json* v = message.Find("thinking")) *thinking += *v->AsString();
    const Json* list = message.Find("tool_calls");
    if (list == nullptr) return;
    for (const Json& call : *list->AsArray()) {
      const Json& function = *call.Find("function");
      const Json& arguments = *function.Find("arguments");
      const Json* a = arguments.Find("a");
      *calls += *function.Find("name")->AsString() + (a == nullptr ? *arguments.Find("unfinished")->AsString()
                                                                   : std::to_string(*a->AsInt())) + ";";
    }
  };
  const auto whole = MakeWholeAnswer(parts);
  Delta all;
  all.text = text;
  all.finish = FinishReason::kStop;
  whole->OnDelta(0, std::move(all));
  whole->OnFinished({});
  std::string content, thinking, calls;
  read(*codec::ParseJson(exchange_->response_.body), &content, &thinking, &calls);
  EXPECT_EQ(content, "Look:");
  EXPECT_EQ(thinking, "Hm.");
  EXPECT_EQ(calls, "w1;w{\"a\":2;");

  const auto stream = MakeStreamAnswer(parts);
  for (size_t i = 0; i < text.size(); ++i) {
    Delta delta;
    delta.text = text[i];
    if (i + 1 == text.size()) delta.finish = FinishReason::kStop;
    stream->OnDelta(0, std::move(delta));
  }
  stream->OnFinished({});
  std::string streamed_content, streamed_thinking, streamed_calls;
  std::istringstream lines(exchange_->written_);
  for (std::string line; std::getline(lines, line);) {
    read(*codec::ParseJson(line), &streamed_content, &streamed_thinking, &streamed_calls);
  }
  EXPECT_EQ(streamed_content, content);
  EXPECT_EQ(streamed_thinking, thinking);
  EXPECT_EQ(streamed_calls, calls);
}

TEST_F(OllamaAnswer, AStreamIsLinesOfWhichTheLastHasTheFigures) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("Hel"));
  answer->OnDelta(0, Make(""));  // nothing to say, no line
  answer->OnDelta(0, Make("lo", FinishReason::kStop));
  answer->OnFinished({});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(*lines[0].Find("model")->AsString(), "m:latest");
  EXPECT_EQ(*lines[0].Find("message")->Find("role")->AsString(), "assistant");
  EXPECT_EQ(*lines[0].Find("message")->Find("content")->AsString(), "Hel");
  EXPECT_EQ(lines[0].Find("done")->AsBool(), false);
  EXPECT_EQ(lines[0].Find("done_reason"), nullptr);
  EXPECT_EQ(*lines[1].Find("message")->Find("content")->AsString(), "lo");
  const Json& last = lines[2];
  EXPECT_EQ(*last.Find("message")->Find("content")->AsString(), "");
  EXPECT_EQ(last.Find("done")->AsBool(), true);
  EXPECT_EQ(*last.Find("done_reason")->AsString(), "stop");
  EXPECT_EQ(last.Find("prompt_eval_count")->AsInt(), 9);
  EXPECT_EQ(last.Find("prompt_eval_duration")->AsInt(), 20);
  EXPECT_EQ(last.Find("eval_count")->AsInt(), 2);
  EXPECT_EQ(last.Find("eval_duration")->AsInt(), 70);
  EXPECT_EQ(last.Find("load_duration")->AsInt(), 7);
  EXPECT_GT(*last.Find("total_duration")->AsInt(), 0);
  EXPECT_EQ(exchange_->response_.headers.Find("content-type"), "application/x-ndjson");
  EXPECT_EQ(exchange_->response_.headers.Find("x-pelton-ignored"), "foo");
  EXPECT_TRUE(exchange_->finished_);
  EXPECT_EQ(notes_->completion_tokens, 2);
}

TEST_F(OllamaAnswer, AWholeAnswerIsOneObjectAndSaysWhyItEnded) {
  for (const auto& [finish, reason] : {std::pair(FinishReason::kStop, "stop"), std::pair(FinishReason::kLength, "length")}) {
    const auto answer = MakeWholeAnswer(Parts(/*chat=*/false));
    answer->OnDelta(0, Make("Hel"));
    answer->OnDelta(0, Make("lo", finish));
    answer->OnFinished({});
    const auto body = codec::ParseJson(exchange_->response_.body);
    ASSERT_TRUE(body.ok());
    EXPECT_EQ(*body->Find("response")->AsString(), "Hello");
    EXPECT_EQ(body->Find("message"), nullptr);
    EXPECT_EQ(body->Find("logprobs"), nullptr);
    EXPECT_EQ(*body->Find("done_reason")->AsString(), reason);
    EXPECT_EQ(body->Find("done")->AsBool(), true);
    EXPECT_EQ(exchange_->response_.headers.Find("x-pelton-ignored"), "foo");
  }
}

// Clients divide counts by them.
TEST_F(OllamaAnswer, DurationsOfTokensAreNeverZero) {
  const auto answer = MakeWholeAnswer(Parts());
  Delta delta = Make("a", FinishReason::kLength);
  delta.usage = {.prompt_tokens = 9, .completion_tokens = 1};
  answer->OnDelta(0, std::move(delta));
  answer->OnFinished({});
  const auto body = codec::ParseJson(exchange_->response_.body);
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(body->Find("eval_duration")->AsInt(), 1);
  EXPECT_EQ(body->Find("prompt_eval_duration")->AsInt(), 1);
}

TEST_F(OllamaAnswer, LogProbabilitiesStandBesideTheText) {
  logprobs_ = true;
  const auto answer = MakeStreamAnswer(Parts());
  Delta delta = Make("a", FinishReason::kStop);
  delta.tokens = {{.id = 1, .bytes = "a", .logprob = -0.5F, .top = {{.bytes = "b", .logprob = -0.25F}}},
                  {.id = 2, .bytes = "\xff", .logprob = -1.F, .top = {}}};
  answer->OnDelta(0, std::move(delta));
  answer->OnFinished({});
  const std::vector<Json> lines = Lines();
  const Json::Array& tokens = *lines.at(0).Find("logprobs")->AsArray();
  ASSERT_EQ(tokens.size(), 2U);
  EXPECT_EQ(tokens[0].Find("logprob")->AsDouble(), -0.5);
  EXPECT_EQ(*tokens[0].Find("top_logprobs")->AsArray()->at(0).Find("token")->AsString(), "b");
  EXPECT_EQ(tokens[1].Find("bytes")->AsArray()->at(0).AsInt(), 255);
}

TEST_F(OllamaAnswer, AnErrorAmidAStreamIsALineAndNothingFollows) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("Hel"));
  answer->OnDelta(0, Make("", FinishReason::kCancelled));
  answer->OnFinished({});
  ASSERT_EQ(Lines().size(), 2U);
  EXPECT_EQ(*Lines()[1].Find("error")->AsString(), "the generation was ended by the server");
  EXPECT_TRUE(exchange_->finished_);
}

TEST_F(OllamaAnswer, AnErrorBeforeAnythingWasSentHasItsStatus) {
  for (const auto make : {MakeStreamAnswer, MakeWholeAnswer}) {
    const auto answer = make(Parts());
    Delta delta = Make("", FinishReason::kError);
    delta.error = Internal("broken");
    answer->OnDelta(0, std::move(delta));
    answer->OnFinished({});
    EXPECT_EQ(exchange_->response_.status, 500);
    EXPECT_EQ(exchange_->response_.body, R"({"error":"broken"})");
  }
}

TEST_F(OllamaAnswer, LongWaitsAreShownByEmptyPieces) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnTick(9'000'000'000);
  EXPECT_TRUE(exchange_->written_.empty());
  answer->OnTick(10'000'000'000);
  ASSERT_EQ(Lines().size(), 1U);
  EXPECT_EQ(*Lines()[0].Find("message")->Find("content")->AsString(), "");
  EXPECT_EQ(Lines()[0].Find("done")->AsBool(), false);
}

TEST(OllamaError, AnswersOfEarlierStepsTakeTheShape) {
  net::Response response = api::ErrorResponse(Unauthenticated("no key"));
  Reshape(&response);
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.body, R"({"error":"no key"})");
  EXPECT_TRUE(response.headers.Find("www-authenticate").has_value());
  net::Response plain = JsonResponse("{}");
  Reshape(&plain);
  EXPECT_EQ(plain.body, "{}");
  EXPECT_TRUE(IsPath("/api/chat") && IsPath("/api/nothing"));
  EXPECT_FALSE(IsPath("/api") || IsPath("/v1/api/chat"));
}

TEST(OllamaMoment, TimesHaveNineDigits) {
  EXPECT_EQ(Rfc3339(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(Rfc3339(1'700'000'000'000'000'001), "2023-11-14T22:13:20.000000001Z");
  EXPECT_EQ(Rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
}

TEST(OllamaNames, TheTagMayBeLeftOutOrGiven) {
  const auto catalogue = serving::Catalogue::Make({{"a", "sim:"}, {"b:latest", "sim:"}, {"c:7b", "sim:"}});
  ASSERT_TRUE(catalogue.ok());
  const auto name = [&](std::string_view asked) { return NameIn(**catalogue, asked); };
  EXPECT_EQ(name("a"), "a");
  EXPECT_EQ(name("a:latest"), "a");
  EXPECT_EQ(name("b"), "b:latest");
  EXPECT_EQ(name("b:latest"), "b:latest");
  EXPECT_EQ(name("c"), "c");  // which there is not
  EXPECT_EQ(name("c:7b"), "c:7b");
  EXPECT_EQ(name(":latest"), ":latest");
  EXPECT_EQ(name(""), "");
  EXPECT_EQ(WithTag("a"), "a:latest");
  EXPECT_EQ(WithTag("c:7b"), "c:7b");
  EXPECT_EQ(WithTag("host:5000/a"), "host:5000/a:latest");
}

}  // namespace
}  // namespace pelton::api::ollama
