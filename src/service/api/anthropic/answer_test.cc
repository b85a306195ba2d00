#include "api/anthropic/answer.h"

#include <gtest/gtest.h>

#include "api/anthropic/error.h"
#include "codec/json.h"
#include "codec/sse.h"

namespace pelton::api::anthropic {
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

class AnthropicAnswer : public ::testing::Test {
 protected:
  AnswerParts Parts() {
    return {.exchange = exchange_, .id = "msg_1", .model = "m", .request_id = "r", .ignored_header = "foo",
            .write_buffer_max = 100, .arrived_ns = 0, .notes = notes_, .stream_begun = false};
  }
  static Delta Make(std::string text, std::optional<FinishReason> finish = {}, std::string stop = {}) {
    Delta delta;
    delta.text = std::move(text);
    delta.finish = finish;
    delta.stop_match = std::move(stop);
    delta.usage = {.prompt_tokens = 9, .completion_tokens = 2, .cached_tokens = 4};
    return delta;
  }
  // Name and data of every event; each says its name again as its type.
  std::vector<std::pair<std::string, Json>> Events() {
    std::vector<std::pair<std::string, Json>> events;
    codec::SseParser parser;
    EXPECT_TRUE(parser.Push(exchange_->written_, [&](const codec::SseEvent& event) {
      auto data = codec::ParseJson(event.data);
      ASSERT_TRUE(data.ok()) << event.data;
      EXPECT_EQ(*data->Find("type")->AsString(), event.name);
      events.emplace_back(event.name, *std::move(data));
    }).ok());
    return events;
  }
  std::shared_ptr<Notes> notes_ = std::make_shared<Notes>();
  std::shared_ptr<FakeExchange> exchange_ = std::make_shared<FakeExchange>();
};

TEST_F(AnthropicAnswer, AStreamHasItsEventsInOrder) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("Hel"));
  answer->OnDelta(0, Make("lo", FinishReason::kStop));
  answer->OnFinished({});
  const auto events = Events();
  std::vector<std::string> names;
  for (const auto& [name, data] : events) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"message_start", "content_block_start", "ping", "content_block_delta",
                                             "content_block_delta", "content_block_stop", "message_delta", "message_stop"}));
  const Json* message = events[0].second.Find("message");
  EXPECT_EQ(*message->Find("id")->AsString(), "msg_1");
  EXPECT_TRUE(message->Find("content")->AsArray()->empty());
  EXPECT_TRUE(message->Find("stop_reason")->is_null());
  EXPECT_EQ(message->Find("usage")->Find("input_tokens")->AsInt(), 5);
  EXPECT_EQ(message->Find("usage")->Find("cache_read_input_tokens")->AsInt(), 4);
  EXPECT_EQ(*events[4].second.Find("delta")->Find("text")->AsString(), "lo");
  EXPECT_EQ(*events[6].second.Find("delta")->Find("stop_reason")->AsString(), "end_turn");
  EXPECT_EQ(events[6].second.Find("usage")->Find("output_tokens")->AsInt(), 2);
  EXPECT_EQ(exchange_->response_.headers.Find("request-id"), "r");
  EXPECT_EQ(exchange_->response_.headers.Find("x-pelton-ignored"), "foo");
  EXPECT_TRUE(exchange_->finished_);
  EXPECT_EQ(notes_->completion_tokens, 2);
}

// Thoughts, text and calls are blocks of their own, streamed and whole.
TEST_F(AnthropicAnswer, EachPartIsABlock) {
  const std::string text = "<think>\nHm.\n</think>\n\nI look. <tool_call>{\"name\":\"w\",\"arguments\":{\"a\":1}}</tool_call>"
                           "<tool_call>{\"name\":\"v\",\"arguments\":{}}</tool_call>";
  AnswerParts parts = Parts();
  parts.rules.tools = {"w", "v"};
  parts.rules.thinks = true;
  const auto stream = MakeStreamAnswer(parts);
  for (const char c : text) stream->OnDelta(0, Make(std::string(1, c)));
  stream->OnDelta(0, Make("", FinishReason::kStop));
  stream->OnFinished({});
  std::vector<std::string> blocks, inputs;
  for (const auto& [name, data] : Events()) {
    if (name == "content_block_start") {
      blocks.push_back(*data.Find("content_block")->Find("type")->AsString());
      inputs.emplace_back();
      EXPECT_EQ(data.Find("index")->AsInt(), static_cast<int64_t>(blocks.size()) - 1);
    }
    if (name == "message_delta") {
      EXPECT_EQ(*data.Find("delta")->Find("stop_reason")->AsString(), "tool_use");
    }
    if (name != "content_block_delta") continue;
    for (const char* member : {"text", "thinking", "partial_json"}) {
      if (const Json* piece = data.Find("delta")->Find(member)) inputs.back() += *piece->AsString();
    }
  }
  EXPECT_EQ(blocks, (std::vector<std::string>{"thinking", "text", "tool_use", "tool_use"}));
  EXPECT_EQ(inputs, (std::vector<std::string>{"Hm.", "I look.", "{\"a\":1}", "{}"}));

  const auto whole = MakeWholeAnswer(parts);
  whole->OnDelta(0, Make(text, FinishReason::kStop));
  whole->OnFinished({});
  const auto message = codec::ParseJson(exchange_->response_.body);
  ASSERT_TRUE(message.ok());
  const Json::Array& content = *message->Find("content")->AsArray();
  ASSERT_EQ(content.size(), 4U);
  EXPECT_EQ(*content[0].Find("thinking")->AsString(), "Hm.");
  EXPECT_EQ(*content[1].Find("text")->AsString(), "I look.");
  EXPECT_EQ(*content[2].Find("name")->AsString(), "w");
  EXPECT_EQ(content[2].Find("input")->Find("a")->AsInt(), 1);
  EXPECT_EQ(*message->Find("stop_reason")->AsString(), "tool_use");
}

TEST_F(AnthropicAnswer, WaitingIsShownByPings) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnTick(1'000'000'000);
  EXPECT_TRUE(exchange_->written_.empty());
  answer->OnTick(2'600'000'000);
  ASSERT_EQ(Events().size(), 1U);
  EXPECT_EQ(Events()[0].first, "ping");
}

TEST_F(AnthropicAnswer, AnErrorAmidAStreamIsAnEventAndNothingFollows) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("Hel"));
  answer->OnDelta(0, Make("", FinishReason::kCancelled));
  answer->OnFinished({});
  const auto events = Events();
  EXPECT_EQ(events.back().first, "error");
  EXPECT_EQ(*events.back().second.Find("error")->Find("type")->AsString(), "overloaded_error");
  EXPECT_TRUE(exchange_->finished_);
}

TEST_F(AnthropicAnswer, AnErrorBeforeAnythingWasSentHasItsStatus) {
  const auto answer = MakeStreamAnswer(Parts());
  Delta delta = Make("", FinishReason::kError);
  delta.error = Internal("broken");
  answer->OnDelta(0, std::move(delta));
  answer->OnFinished({});
  EXPECT_EQ(exchange_->response_.status, 500);
  EXPECT_EQ(exchange_->response_.body,
            R"({"type":"error","error":{"type":"api_error","message":"broken"},"request_id":"r"})");
}

TEST_F(AnthropicAnswer, AWholeMessageSaysWhyItStopped) {
  const struct {
    FinishReason finish;
    std::string stop, reason;
  } kCases[] = {{FinishReason::kStop, "", "end_turn"}, {FinishReason::kStop, "END", "stop_sequence"},
                {FinishReason::kLength, "", "max_tokens"}};
  for (const auto& c : kCases) {
    const auto answer = MakeWholeAnswer(Parts());
    answer->OnDelta(0, Make("Hello", c.finish, c.stop));
    answer->OnFinished({});
    const auto body = codec::ParseJson(exchange_->response_.body);
    ASSERT_TRUE(body.ok());
    EXPECT_EQ(*body->Find("stop_reason")->AsString(), c.reason);
    EXPECT_EQ(body->Find("stop_sequence")->is_null(), c.stop.empty());
    EXPECT_EQ(*body->Find("content")->AsArray()->at(0).Find("text")->AsString(), "Hello");
    EXPECT_EQ(exchange_->response_.headers.Find("request-id"), "r");
  }
}

TEST(AnthropicError, AnswersOfEarlierStepsTakeTheShape) {
  net::Response response = api::ErrorResponse(Unauthenticated("no key"));
  Reshape("r", &response);
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.body,
            R"({"type":"error","error":{"type":"authentication_error","message":"no key"},"request_id":"r"})");
  net::Response plain = JsonResponse("{}");
  Reshape("r", &plain);
  EXPECT_EQ(plain.body, "{}");
  EXPECT_TRUE(IsPath("/v1/messages") && IsPath("/v1/messages/count_tokens"));
  EXPECT_FALSE(IsPath("/v1/messagesx") || IsPath("/v1/models"));
}

}  // namespace
}  // namespace pelton::api::anthropic
