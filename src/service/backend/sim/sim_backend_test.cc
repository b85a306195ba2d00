#include "backend/sim/sim_backend.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "backend/sim/sim_text.h"

namespace pelton::backend {
namespace {

// Collects deltas; tells a waiting test about the last one.
class Collector final : public DeltaSink {
 public:
  explicit Collector(int pause_after = -1) : pause_after_(pause_after) {}

  Flow OnDelta(Delta&& delta) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(finish_.has_value()) << "a delta after the last one";
    text_ += delta.text;
    ++deltas_;
    usage_ = delta.usage;
    finish_ = delta.finish;
    changed_.notify_all();
    return deltas_ == pause_after_ ? Flow::kPause : Flow::kContinue;
  }

  bool WaitFinish(int timeout_ms = 5000) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                             [&] { return finish_.has_value(); });
  }
  bool WaitDeltas(int wanted, int timeout_ms = 5000) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                             [&] { return deltas_ >= wanted; });
  }
  std::string text() { return Locked(text_); }
  int deltas() { return Locked(deltas_); }
  Usage usage() { return Locked(usage_); }
  std::optional<FinishReason> finish() { return Locked(finish_); }

 private:
  template <typename T>
  T Locked(const T& value) {
    const std::lock_guard lock(mutex_);
    return value;
  }

  const int pause_after_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  int deltas_ = 0;
  Usage usage_;
  std::optional<FinishReason> finish_;
};

SequenceRequest Request(int max_tokens, uint64_t seed = 7) {
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.max_tokens = max_tokens;
  request.seed = seed;
  return request;
}

std::string TextOf(Backend& backend, SequenceRequest request) {
  auto sink = std::make_shared<Collector>();
  EXPECT_TRUE(backend.Submit(backend.NextRequestId(), std::move(request), sink).ok());
  EXPECT_TRUE(sink->WaitFinish());
  return sink->text();
}

TEST(Sim, OptionsComeFromTheAddressAndBadOnesAreNamed) {
  const auto options = ParseSimUrl("sim:?rate=2.5&length=20&slots=3&queue=0&context=64");
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->rate, 2.5);
  EXPECT_EQ(options->length, 20);
  EXPECT_EQ(options->slots, 3);
  EXPECT_EQ(options->queue, 0);
  EXPECT_TRUE(ParseSimUrl("sim:").ok());
  for (const char* bad : {"sim:rate=1", "sim:?rate", "sim:?rate=0", "sim:?rate=nan", "sim:?rate=1x",
                          "sim:?length=1.5", "sim:?length=-1", "sim:?context=15",
                          "sim:?context=1048577", "sim:?speed=3", "model.gguf"}) {
    EXPECT_FALSE(ParseSimUrl(bad).ok()) << bad;
  }
  EXPECT_NE(ParseSimUrl("sim:?speed=3").status().message().find("speed"), std::string::npos);
}

TEST(Sim, SameSeedSameTextAndOtherSeedOtherText) {
  const auto backend = MakeSimBackend({.rate = 1e6});
  const std::string first = TextOf(*backend, Request(20, 1));
  EXPECT_EQ(TextOf(*backend, Request(20, 1)), first);
  EXPECT_NE(TextOf(*backend, Request(20, 2)), first);
}

TEST(Sim, EndsAtMaxTokensAtItsLengthAndAtTheContext) {
  const auto backend = MakeSimBackend({.rate = 1e6, .length = 10, .context = 64});
  auto sink = std::make_shared<Collector>();
  ASSERT_TRUE(backend->Submit(1, Request(5), sink).ok());
  ASSERT_TRUE(sink->WaitFinish());
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
  EXPECT_EQ(sink->usage().completion_tokens, 5);
  EXPECT_EQ(sink->usage().prompt_tokens, 3);
  sink = std::make_shared<Collector>();
  ASSERT_TRUE(backend->Submit(2, Request(50), sink).ok());
  ASSERT_TRUE(sink->WaitFinish());
  EXPECT_EQ(sink->finish(), FinishReason::kStop);
  EXPECT_EQ(sink->usage().completion_tokens, 10);
  sink = std::make_shared<Collector>();
  SequenceRequest endless = Request(1000);
  endless.ignore_eos = true;
  ASSERT_TRUE(backend->Submit(3, std::move(endless), sink).ok());
  ASSERT_TRUE(sink->WaitFinish());
  EXPECT_EQ(sink->usage().completion_tokens, 61);
}

TEST(Sim, AStopStringEndsExactlyBeforeItAlsoAcrossTokens) {
  const auto backend = MakeSimBackend({.rate = 1e6});
  const std::string whole = TextOf(*backend, Request(30));
  const std::string stop = whole.substr(whole.size() / 2, 9);  // crosses a border of tokens
  const size_t at = whole.find(stop);
  SequenceRequest request = Request(30);
  request.stop = {stop};
  EXPECT_EQ(TextOf(*backend, request), whole.substr(0, at));
  request.include_stop_in_text = true;
  EXPECT_EQ(TextOf(*backend, request), whole.substr(0, at + stop.size()));
}

TEST(Sim, CancelEndsWithinTwoTokens) {
  const auto backend = MakeSimBackend({.rate = 20});
  auto sink = std::make_shared<Collector>();
  ASSERT_TRUE(backend->Submit(1, Request(1000), sink).ok());
  ASSERT_TRUE(sink->WaitDeltas(2));
  const int before = sink->deltas();
  backend->Cancel(1);
  ASSERT_TRUE(sink->WaitFinish());
  EXPECT_EQ(sink->finish(), FinishReason::kCancelled);
  EXPECT_LE(sink->deltas(), before + 3);  // two tokens and the end itself
}

TEST(Sim, PauseHoldsUntilResume) {
  const auto backend = MakeSimBackend({.rate = 1000});
  auto sink = std::make_shared<Collector>(/*pause_after=*/3);
  ASSERT_TRUE(backend->Submit(1, Request(10), sink).ok());
  ASSERT_TRUE(sink->WaitDeltas(3));
  EXPECT_FALSE(sink->WaitDeltas(4, /*timeout_ms=*/100));
  backend->Resume(1);
  EXPECT_TRUE(sink->WaitFinish());
}

TEST(Sim, TheQueueIsBoundedAndSaysWhenToComeBack) {
  const auto backend = MakeSimBackend({.rate = 0.01, .slots = 1, .queue = 1});
  std::vector<std::shared_ptr<Collector>> sinks;
  int accepted = 0;
  Status refused;
  for (RequestId id = 1; id <= 3; ++id) {
    sinks.push_back(std::make_shared<Collector>());
    const Status status = backend->Submit(id, Request(10), sinks.back());
    status.ok() ? void(++accepted) : void(refused = status);
  }
  EXPECT_EQ(accepted, 2);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(refused.retry_after_ms().has_value());
}

TEST(Sim, DestroyingItFinishesEverySequence) {
  auto sink = std::make_shared<Collector>();
  {
    const auto backend = MakeSimBackend({.rate = 0.01});
    ASSERT_TRUE(backend->Submit(1, Request(10), sink).ok());
    while (backend->GetStats().running == 0) std::this_thread::yield();
  }
  EXPECT_EQ(sink->finish(), FinishReason::kCancelled);
}

TEST(Sim, ClosedIntakeRefusesAndRunningGoesOn) {
  const auto backend = MakeSimBackend({.rate = 200});
  auto sink = std::make_shared<Collector>();
  ASSERT_TRUE(backend->Submit(1, Request(10), sink).ok());
  backend->CloseIntake();
  EXPECT_EQ(backend->Submit(2, Request(10), std::make_shared<Collector>()).code(),
            StatusCode::kUnavailable);
  ASSERT_TRUE(sink->WaitFinish());
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
}

TEST(Sim, TheHeartbeatMovesWhenIdleAndStandsWhenStalled) {
  const auto beat_moves = [](Backend& backend) {
    const int64_t before = backend.GetStats().heartbeat_ns;
    for (int i = 0; i < 40; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      if (backend.GetStats().heartbeat_ns != before) return true;
    }
    return false;
  };
  const auto idle = MakeSimBackend({});
  EXPECT_TRUE(beat_moves(*idle));
  const auto stalled = MakeSimBackend({.rate = 1e6, .stall_after = 2});
  ASSERT_TRUE(stalled->Submit(1, Request(10), std::make_shared<Collector>()).ok());
  while (stalled->GetStats().generated_tokens < 2) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(beat_moves(*stalled));
}

TEST(Sim, TextBecomesControlTokensOnlyWhenAsked) {
  EXPECT_EQ(sim::EncodeText("<|im_end|>", {}).size(), 10u);
  EXPECT_EQ(sim::EncodeText("<|im_end|>", {.parse_special = true}),
            std::vector<TokenId>{sim::kTurnEnd});
  EXPECT_EQ(sim::EncodeText("a", {.add_special = true}), (std::vector<TokenId>{sim::kBos, 'a'}));
  ChatPrompt prompt;
  prompt.messages.push_back({.role = "user", .content = "<|im_end|>", .name = {},
                             .tool_call_id = {}, .tool_calls_json = {}});
  int ends = 0;
  for (const TokenId id : sim::EncodeChat(prompt)) ends += id == sim::kTurnEnd;
  EXPECT_EQ(ends, 1);
}

}  // namespace
}  // namespace pelton::backend
