#include "api/openai/answer.h"

#include <gtest/gtest.h>

namespace pelton::api::openai {
namespace {

using backend::Delta;
using backend::FinishReason;

class FakeExchange final : public net::Exchange {
 public:
  const net::RequestHead& head() const override { return head_; }
  const std::string& body() const override { return body_; }
  void Respond(net::Response response) override {
    ++answers_;
    response_ = std::move(response);
  }
  void StartStream(int status, net::Headers headers) override {
    ++answers_;
    response_.status = status;
    response_.headers = std::move(headers);
  }
  void Write(std::string data) override { written_ += data; }
  void Finish() override { finished_ = true; }
  void Abort() override { aborted_ = true; }
  size_t buffered_bytes() const override { return buffered_; }
  void OnClosed(std::function<void()>) override {}
  void OnDrained(std::function<void()>) override {}

  net::RequestHead head_;
  std::string body_, written_;
  net::Response response_;
  int answers_ = 0;
  bool finished_ = false, aborted_ = false;
  size_t buffered_ = 0;
};

class AnswerTest : public ::testing::Test {
 protected:
  AnswerParts Parts(bool usage = false) {
    AnswerParts parts;
    parts.exchange = exchange_;
    parts.shape = ChatShape({.id = "i", .model = "m", .fingerprint = "f", .created_s = 1, .n = 1,
                             .logprobs = false, .include_usage = usage}, 1);
    parts.include_usage = usage;
    parts.write_buffer_max = 100;
    parts.ignored_header = "foo";
    parts.notes = notes_;
    return parts;
  }
  static Delta Make(std::string text, std::optional<FinishReason> finish = {}, Status error = {}) {
    Delta delta;
    delta.text = std::move(text);
    delta.finish = finish;
    delta.error = std::move(error);
    return delta;
  }
  std::shared_ptr<Notes> notes_ = std::make_shared<Notes>();
  std::shared_ptr<FakeExchange> exchange_ = std::make_shared<FakeExchange>();
};

TEST_F(AnswerTest, AStreamEndsWithUsageAndDone) {
  const auto answer = MakeStreamAnswer(Parts(true));
  answer->OnDelta(0, Make("a"));
  answer->OnDelta(0, Make("", FinishReason::kStop));
  answer->OnFinished({});
  EXPECT_EQ(exchange_->response_.status, 200);
  EXPECT_EQ(*exchange_->response_.headers.Find("content-type"), "text/event-stream");
  EXPECT_EQ(*exchange_->response_.headers.Find("x-pelton-ignored"), "foo");
  EXPECT_TRUE(exchange_->written_.ends_with("data: [DONE]\n\n"));
  EXPECT_NE(exchange_->written_.find("\"total_tokens\":"), std::string::npos);
  EXPECT_TRUE(exchange_->finished_);
  EXPECT_EQ(notes_->finish, "stop");
  EXPECT_EQ(notes_->completion_tokens, 0);
}

TEST_F(AnswerTest, AnErrorBeforeTheFirstByteKeepsItsOwnStatus) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnDelta(0, Make("", FinishReason::kError, DeadlineExceeded("late")));
  answer->OnFinished({});
  EXPECT_EQ(exchange_->response_.status, 504);
  EXPECT_EQ(exchange_->answers_, 1);
  EXPECT_EQ(exchange_->written_, "");
}

// R46: after the first byte an explicit error event, never a false [DONE].
TEST_F(AnswerTest, AnErrorLaterIsAnEventAndNoDone) {
  const auto answer = MakeStreamAnswer(Parts(true));
  answer->OnDelta(0, Make("a"));
  answer->OnDelta(0, Make("b", FinishReason::kCancelled));
  answer->OnFinished({});
  EXPECT_NE(exchange_->written_.find("\"error\""), std::string::npos);
  EXPECT_EQ(exchange_->written_.find("[DONE]"), std::string::npos);
  EXPECT_TRUE(exchange_->finished_);
}

TEST_F(AnswerTest, CommentsAreSignsOfLife) {
  const auto answer = MakeStreamAnswer(Parts());
  answer->OnTick(kFirstCommentNs - 1);
  EXPECT_EQ(exchange_->answers_, 0);
  answer->OnTick(kFirstCommentNs);
  EXPECT_EQ(exchange_->answers_, 1);
  EXPECT_TRUE(exchange_->written_.starts_with(":"));
  const std::string once = exchange_->written_;
  answer->OnTick(kFirstCommentNs + kCommentNs - 1);
  EXPECT_EQ(exchange_->written_, once);
  answer->OnTick(kFirstCommentNs + kCommentNs);
  EXPECT_EQ(exchange_->written_, once + once);
}

TEST_F(AnswerTest, TheReaderIsBehindAboveTheBufferAndNotAtIt) {
  const auto answer = MakeStreamAnswer(Parts());
  exchange_->buffered_ = 100;
  EXPECT_FALSE(answer->Congested());
  exchange_->buffered_ = 101;
  EXPECT_TRUE(answer->Congested());
}

TEST_F(AnswerTest, AWholeAnswerCollectsAndAnErrorReplacesIt) {
  auto answer = MakeWholeAnswer(Parts());
  answer->OnDelta(0, Make("a"));
  answer->OnDelta(0, Make("b", FinishReason::kStop));
  answer->OnFinished({});
  EXPECT_NE(exchange_->response_.body.find("\"content\":\"ab\""), std::string::npos);
  EXPECT_EQ(*exchange_->response_.headers.Find("x-pelton-ignored"), "foo");
  answer = MakeWholeAnswer(Parts());
  answer->OnDelta(0, Make("a"));
  answer->OnDelta(0, Make("b", FinishReason::kError, Internal("broken")));
  answer->OnFinished({});
  EXPECT_EQ(exchange_->response_.status, 500);
  EXPECT_EQ(exchange_->response_.body.find("\"ab\""), std::string::npos);
}

}  // namespace
}  // namespace pelton::api::openai
