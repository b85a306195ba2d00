// The life of a request against a backend whose every delta the test decides.
#include "serving/generation.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <set>

namespace pelton::serving {
namespace {

using backend::Delta;
using backend::FinishReason;
using backend::Flow;
using backend::RequestId;

class ScriptedBackend final : public backend::Backend {
 public:
  const backend::Facts& facts() const override { return facts_; }
  Result<std::vector<backend::TokenId>> ChatTokens(const backend::ChatPrompt&) const override {
    return std::vector<backend::TokenId>{1};
  }
  Result<std::vector<backend::TokenId>> Tokenize(std::string_view,
                                                 const backend::TokenizeOptions&) const override {
    return std::vector<backend::TokenId>{1};
  }
  std::string Detokenize(std::span<const backend::TokenId>, bool) const override { return ""; }
  std::string TokenPiece(backend::TokenId) const override { return ""; }
  RequestId NextRequestId() override { return ++last_id_; }
  Status Submit(RequestId id, backend::SequenceRequest,
                std::shared_ptr<backend::DeltaSink> sink) override {
    if (static_cast<int>(sinks_.size()) >= accept_) return ResourceExhausted("full");
    sinks_[id] = std::move(sink);
    return OkStatus();
  }
  void Cancel(RequestId id) override {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(id);
  }
  void Resume(RequestId id) override {
    const std::lock_guard lock(mutex_);
    resumed_.insert(id);
  }
  std::set<RequestId> cancelled() {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }
  std::set<RequestId> resumed() {
    const std::lock_guard lock(mutex_);
    return resumed_;
  }
  backend::Stats GetStats() const override { return {}; }
  void CloseIntake() override {}

  Flow Send(RequestId id, std::string text, std::optional<FinishReason> finish = {}) {
    Delta delta;
    delta.text = std::move(text);
    delta.finish = finish;
    delta.usage.completion_tokens = ++tokens_;
    const Flow flow = sinks_[id]->OnDelta(std::move(delta));
    if (finish) sinks_.erase(id);
    return flow;
  }

  backend::Facts facts_;
  RequestId last_id_ = 0;
  int accept_ = 100, tokens_ = 0;
  std::map<RequestId, std::shared_ptr<backend::DeltaSink>> sinks_;

 private:
  std::mutex mutex_;
  std::set<RequestId> cancelled_, resumed_;  // guarded by mutex_
};

class Recorder final : public Output {
 public:
  void OnDelta(int index, Delta&& delta) override {
    const std::lock_guard lock(mutex_);
    texts_[index] += delta.text;
    ++deltas_;
    changed_.notify_all();
  }
  void OnFinished(const RequestRecord& record) override {
    const std::lock_guard lock(mutex_);
    ++finished_;
    record_ = record;
    changed_.notify_all();
  }
  void OnTick(int64_t) override { ++ticks_; }
  bool Congested() override { return congested_; }

  template <typename P>
  bool Wait(P&& done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), done);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, std::string> texts_;
  int deltas_ = 0, finished_ = 0;
  RequestRecord record_;
  std::atomic<int> ticks_{0};
  std::atomic<bool> congested_{false};
};

class GenerationTest : public ::testing::Test {
 protected:
  GenerationTest() {
    auto served = std::make_shared<Served>();
    served->name = "m";
    served->backend = backend_;
    model_ = served;
    metrics_ = std::make_shared<ModelMetrics>(registry_, "m");
    generation_ = std::make_shared<Generation>(pump_, output_, 0, &log_);
  }
  // As every backend's destructor does: a sink that nobody ends holds its generation, and that the
  // backend.
  ~GenerationTest() override { backend_->sinks_.clear(); }

  Status Start(int sequences) {
    auto ticket = admission_.Admit({.tenant = "t", .model = "m", .sequences = sequences,
                                    .prompt_tokens = 1});
    return generation_->Start(model_, metrics_,
                              std::vector<backend::SequenceRequest>(sequences), *std::move(ticket),
                              {.id = "r", .model = "m", .tenant = "t"});
  }

  FakeClock clock_;
  Admission admission_{{}, clock_};
  RequestLog log_;
  obs::Registry registry_;
  std::shared_ptr<ScriptedBackend> backend_ = std::make_shared<ScriptedBackend>();
  std::shared_ptr<Recorder> output_ = std::make_shared<Recorder>();
  std::shared_ptr<const Served> model_;
  std::shared_ptr<ModelMetrics> metrics_;
  Pump pump_;
  std::shared_ptr<Generation> generation_;
};

TEST_F(GenerationTest, DeltasArriveInOrderAndTheEndOnce) {
  ASSERT_TRUE(Start(2).ok());
  EXPECT_EQ(admission_.sequences(), 2);
  backend_->Send(1, "a");
  backend_->Send(2, "x");
  backend_->Send(1, "b", FinishReason::kStop);
  backend_->Send(2, "y", FinishReason::kLength);
  ASSERT_TRUE(output_->Wait([&] { return output_->finished_ == 1; }));
  EXPECT_EQ(output_->texts_[0], "ab");
  EXPECT_EQ(output_->texts_[1], "xy");
  EXPECT_EQ(admission_.sequences(), 0);
  EXPECT_EQ(metrics_->finished[0]->value(), 1u);
  EXPECT_EQ(metrics_->finished[1]->value(), 1u);
}

TEST_F(GenerationTest, TheRecordOfARequestIsCompleteAndLogged) {
  ASSERT_TRUE(Start(2).ok());
  EXPECT_EQ(admission_.queued_tokens("m"), 1);
  backend_->Send(1, "a");  // its first token
  ASSERT_TRUE(output_->Wait([&] { return output_->deltas_ == 1; }));
  backend_->Send(1, "b", FinishReason::kLength);
  backend_->Send(2, "y", FinishReason::kStop);
  ASSERT_TRUE(output_->Wait([&] { return output_->finished_ == 1; }));
  EXPECT_EQ(output_->record_.id, "r");
  EXPECT_EQ(output_->record_.finish, "length");
  EXPECT_EQ(output_->record_.timings.sequences, 2);
  const auto last = log_.Last("t", 10);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].timings.sequences, 2);
  EXPECT_TRUE(log_.Last("other", 10).empty());
  EXPECT_EQ(admission_.queued_tokens("m"), 0);
}

TEST_F(GenerationTest, CancelReachesEverySequence) {
  ASSERT_TRUE(Start(3).ok());
  generation_->Cancel();
  EXPECT_EQ(backend_->cancelled(), (std::set<RequestId>{1, 2, 3}));
}

TEST_F(GenerationTest, CancelBeforeStartSubmitsNothing) {
  generation_->Cancel();
  EXPECT_EQ(Start(1).code(), StatusCode::kCancelled);
  EXPECT_TRUE(backend_->sinks_.empty());
  EXPECT_EQ(admission_.sequences(), 0);
}

TEST_F(GenerationTest, WhenOneSequenceIsRefusedTheOthersAreCancelledAndNothingIsHeard) {
  backend_->accept_ = 2;
  EXPECT_EQ(Start(3).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(backend_->cancelled(), (std::set<RequestId>{1, 2}));
  backend_->Send(1, "a", FinishReason::kCancelled);
  backend_->Send(2, "a", FinishReason::kCancelled);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(output_->deltas_, 0);
  EXPECT_EQ(output_->finished_, 0);
  EXPECT_EQ(admission_.sequences(), 0);
}

TEST_F(GenerationTest, ABehindReaderPausesAndADrainedOneResumes) {
  ASSERT_TRUE(Start(1).ok());
  output_->congested_ = true;
  backend_->Send(1, "a");
  ASSERT_TRUE(output_->Wait([&] { return output_->deltas_ == 1; }));
  // The flag stands a moment after the delta was given out.
  Flow flow = Flow::kContinue;
  for (int i = 0; i < 100 && flow == Flow::kContinue; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    flow = backend_->Send(1, "b");
  }
  EXPECT_EQ(flow, Flow::kPause);
  EXPECT_TRUE(backend_->resumed().empty());
  output_->congested_ = false;
  generation_->ReaderDrained();
  EXPECT_EQ(backend_->resumed(), (std::set<RequestId>{1}));
  EXPECT_EQ(backend_->Send(1, "c", FinishReason::kStop), Flow::kContinue);
}

// Nothing grows while the pump is held up: a sequence pauses at kPendingMax deltas.
TEST_F(GenerationTest, APumpThatIsBehindPausesTheSequence) {
  ASSERT_TRUE(Start(1).ok());
  int sent = 0;
  Flow flow = Flow::kContinue;
  {
    const std::lock_guard hold(output_->mutex_);  // the pump waits inside OnDelta
    while (flow == Flow::kContinue && sent < 1000) {
      flow = backend_->Send(1, "a");
      ++sent;
    }
  }
  EXPECT_EQ(flow, Flow::kPause);
  EXPECT_LE(sent, Generation::kPendingMax + 2);
  for (int i = 0; i < 1000 && backend_->resumed().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(backend_->resumed(), (std::set<RequestId>{1}));
  backend_->Send(1, "", FinishReason::kStop);
}

TEST_F(GenerationTest, TicksComeWhileRunningAndCancelAllReachesIt) {
  ASSERT_TRUE(Start(1).ok());
  pump_.CancelAll();
  for (int i = 0; i < 500 && output_->ticks_ == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_GE(output_->ticks_, 1);
  EXPECT_EQ(backend_->cancelled(), (std::set<RequestId>{1}));
  backend_->Send(1, "", FinishReason::kCancelled);
}

}  // namespace
}  // namespace pelton::serving
