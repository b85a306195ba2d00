#include "engine/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/testing/fake_model.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "sampling/testing/plain_table.h"

namespace pelton::engine {
namespace {

using testing::FakeModel;
using testing::FakeTokenizer;
using testing::RecordingSink;
using text::TokenId;

std::vector<TokenId> Ids(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

struct Fixture {
  explicit Fixture(EngineOptions options = {}, testing::FakeModelOptions model_options = {})
      : model(std::make_shared<FakeModel>(std::move(model_options))),
        team({.threads = 2, .pin = false}) {
    if (options.context == 0) options.context = 256;
    auto made = Engine::Create(model, std::make_shared<FakeTokenizer>(), team,
                               sampling::testing::PlainTable(), options);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    engine = *std::move(made);
  }

  EngineRequest Greedy(std::vector<TokenId> prompt, int max_tokens) {
    EngineRequest request;
    request.id = engine->NextRequestId();
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0.f;
    return request;
  }

  // Waits until every block is free again; false when that does not come.
  bool BlocksComeBack() {
    for (int i = 0; i < 2000; ++i) {
      if (engine->Stats().kv_blocks_used == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  std::shared_ptr<FakeModel> model;
  nn::Team team;
  std::unique_ptr<Engine> engine;
};

TEST(Engine, AnswersOneRequest) {
  Fixture f;
  auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(f.engine->Submit(f.Greedy(Ids("hello"), 20), sink).ok());
  ASSERT_TRUE(sink->WaitForFinish());
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
  EXPECT_EQ(sink->ids(), f.model->Expected(Ids("hello"), 20));
  EXPECT_EQ(sink->usage().prompt_tokens, 5);
  EXPECT_EQ(sink->usage().completion_tokens, 20);
  EXPECT_GE(sink->usage().total_ns, sink->usage().first_token_ns);
  EXPECT_GE(sink->usage().first_token_ns, sink->usage().queue_ns);
  EXPECT_TRUE(f.BlocksComeBack());
  EXPECT_EQ(f.engine->Stats().requests_finished, 1u);
  EXPECT_EQ(f.engine->Stats().generated_tokens, 20u);
  EXPECT_EQ(f.engine->Stats().prompt_tokens, 5u);
}

TEST(Engine, AnswersManyAtOnceExactlyAsAlone) {
  Fixture f({.max_running = 8, .max_waiting = 100, .step_tokens = 24, .prefill_chunk = 7});
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  std::vector<std::vector<TokenId>> prompts;
  for (int i = 0; i < 40; ++i) {
    prompts.push_back(Ids(std::string(1 + (i * 37) % 90, static_cast<char>('a' + i % 26)) +
                          std::to_string(i)));
    sinks.push_back(std::make_shared<RecordingSink>());
    ASSERT_TRUE(f.engine->Submit(f.Greedy(prompts.back(), 1 + i % 50), sinks.back()).ok());
  }
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(sinks[i]->WaitForFinish());
    EXPECT_EQ(sinks[i]->ids(), f.model->Expected(prompts[i], 1 + i % 50)) << i;
    EXPECT_FALSE(sinks[i]->broken());
  }
  EXPECT_TRUE(f.BlocksComeBack());
}

TEST(Engine, KeepsAnswersRightWhenBlocksRunOut) {
  // 20 blocks of 16 for 6 sequences that grow to 10 blocks each: preemption is certain.
  Fixture f({.context = 160, .kv_blocks = 20, .max_running = 6});
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 6; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>());
    ASSERT_TRUE(
        f.engine->Submit(f.Greedy(Ids("prompt " + std::to_string(i)), 150), sinks.back()).ok());
  }
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(sinks[i]->WaitForFinish());
    EXPECT_EQ(sinks[i]->ids(), f.model->Expected(Ids("prompt " + std::to_string(i)), 150)) << i;
  }
  EXPECT_GT(f.engine->Stats().preemptions, 0u);
  EXPECT_TRUE(f.BlocksComeBack());
}

TEST(Engine, SampledTextDependsOnTheSeedOnly) {
  const auto run = [](int others) {
    Fixture f({.max_running = 16, .prefill_chunk = others == 0 ? 256 : 3});
    std::vector<std::shared_ptr<RecordingSink>> noise;
    for (int i = 0; i < others; ++i) {
      noise.push_back(std::make_shared<RecordingSink>());
      EXPECT_TRUE(f.engine->Submit(f.Greedy(Ids("noise" + std::to_string(i)), 40), noise.back()).ok());
    }
    auto sink = std::make_shared<RecordingSink>();
    EngineRequest request = f.Greedy(Ids("the same prompt"), 60);
    request.sampling = {.temperature = 3.f, .top_p = .95f, .seed = 99};
    EXPECT_TRUE(f.engine->Submit(std::move(request), sink).ok());
    EXPECT_TRUE(sink->WaitForFinish());
    for (auto& n : noise) EXPECT_TRUE(n->WaitForFinish());
    return sink->ids();
  };
  const auto alone = run(0);
  EXPECT_EQ(alone, run(9));
  EXPECT_GT(std::set<TokenId>(alone.begin(), alone.end()).size(), 10u);
}

TEST(Engine, StopsAtEveryEndOfTurnUnlessTold) {
  for (const TokenId end : {FakeTokenizer::kEos, FakeTokenizer::kEndOfTurn}) {
    testing::FakeModelOptions options;
    options.scripts[1] = {'a', 'b', end, 'c', 'd'};
    Fixture f({}, options);
    auto sink = std::make_shared<RecordingSink>();
    ASSERT_TRUE(f.engine->Submit(f.Greedy({1}, 10), sink).ok());
    ASSERT_TRUE(sink->WaitForFinish());
    EXPECT_EQ(sink->finish(), FinishReason::kStop);
    EXPECT_EQ(sink->text(), "ab");
    EXPECT_EQ(sink->ids(), (std::vector<TokenId>{'a', 'b', end}));
    EXPECT_EQ(sink->usage().completion_tokens, 3);
    auto ignoring = std::make_shared<RecordingSink>();
    EngineRequest request = f.Greedy({1}, 10);
    request.ignore_eos = true;
    ASSERT_TRUE(f.engine->Submit(std::move(request), ignoring).ok());
    ASSERT_TRUE(ignoring->WaitForFinish());
    EXPECT_EQ(ignoring->finish(), FinishReason::kLength);
    EXPECT_EQ(ignoring->tokens().size(), 10u);
    for (const TokenId id : ignoring->ids()) {
      EXPECT_NE(id, FakeTokenizer::kEos);
      EXPECT_NE(id, FakeTokenizer::kEndOfTurn);
    }
  }
}

TEST(Engine, StopStringEndsTheText) {
  testing::FakeModelOptions options;
  options.scripts[1] = Ids("one two STOP three");
  Fixture f({}, options);
  for (const bool include : {false, true}) {
    auto sink = std::make_shared<RecordingSink>();
    EngineRequest request = f.Greedy({1}, 30);
    request.stop = {"never", "STOP"};
    request.include_stop_in_text = include;
    ASSERT_TRUE(f.engine->Submit(std::move(request), sink).ok());
    ASSERT_TRUE(sink->WaitForFinish());
    EXPECT_EQ(sink->finish(), FinishReason::kStop);
    EXPECT_EQ(sink->stop_match(), "STOP");
    EXPECT_EQ(sink->text(), include ? "one two STOP" : "one two ");
    EXPECT_EQ(sink->usage().completion_tokens, 12);
    EXPECT_EQ(sink->tokens().size(), 12u);
  }
}

TEST(Engine, LogprobsComeWithEveryToken) {
  testing::FakeModelOptions options;
  options.scripts[1] = Ids("abcSTxyz");
  Fixture f({}, options);
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = f.Greedy({1}, 8);
  request.stop = {"STOP"};
  request.sampling.top_logprobs = 2;
  ASSERT_TRUE(f.engine->Submit(std::move(request), sink).ok());
  ASSERT_TRUE(sink->WaitForFinish());
  EXPECT_EQ(sink->text(), "abcSTxyz");
  const auto tokens = sink->tokens();
  ASSERT_EQ(tokens.size(), 8u);
  for (const TokenOut& token : tokens) {
    EXPECT_LT(token.logprob, 0.f);
    ASSERT_EQ(token.top.size(), 2u);
    EXPECT_EQ(token.top[0].token, token.id);
    EXPECT_EQ(token.top[0].logprob, token.logprob);
  }
}

TEST(Engine, MaxTokensIsClampedToTheContext) {
  Fixture f({.context = 32});
  auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(f.engine->Submit(f.Greedy(Ids("12345678901234567890"), 1 << 20), sink).ok());
  ASSERT_TRUE(sink->WaitForFinish());
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
  EXPECT_EQ(sink->tokens().size(), 12u);
  EXPECT_EQ(sink->ids(), f.model->Expected(Ids("12345678901234567890"), 12));
}

TEST(Engine, RefusesWhatItCannotDo) {
  Fixture f({.context = 32});
  auto sink = std::make_shared<RecordingSink>();
  const auto refused = [&](EngineRequest request, const char* param) {
    const Status status = f.engine->Submit(std::move(request), sink);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(status.param(), param) << status.ToString();
    return status.message();
  };
  refused(f.Greedy({}, 1), "prompt");
  const std::string too_long = refused(f.Greedy(std::vector<TokenId>(32, 5), 1), "prompt");
  EXPECT_NE(too_long.find("32 tokens"), std::string::npos);
  EXPECT_TRUE(f.engine->Submit(f.Greedy(std::vector<TokenId>(31, 5), 1), sink).ok());
  refused(f.Greedy({300}, 1), "prompt");
  refused(f.Greedy({-1}, 1), "prompt");
  refused(f.Greedy({1}, 0), "max_tokens");
  EngineRequest request = f.Greedy({1}, 1);
  request.stop = {""};
  refused(request, "stop");
  request.stop = {std::string(257, 'x')};
  refused(request, "stop");
  request.stop.assign(17, "x");
  refused(request, "stop");
  request.stop.clear();
  request.sampling.top_p = 0.f;
  refused(request, "top_p");
  EXPECT_EQ(f.engine->Submit(f.Greedy({1}, 1), nullptr).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(sink->WaitForFinish());
}

TEST(Engine, AFullQueueRefusesWithRetryAfter) {
  Fixture f({.max_running = 1, .max_waiting = 2});
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 3; ++i) {
    sinks.push_back(std::make_shared<RecordingSink>([](const Delta&) { return Flow::kPause; }));
    ASSERT_TRUE(f.engine->Submit(f.Greedy({7}, 5), sinks.back()).ok());
  }
  const Status full = f.engine->Submit(f.Greedy({7}, 5), std::make_shared<RecordingSink>());
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_GT(full.retry_after_ms().value_or(0), 0);
  EXPECT_EQ(f.engine->Stats().requests_refused, 1u);
}

TEST(Engine, RefusesAnIdThatIsAlive) {
  Fixture f;
  auto sink = std::make_shared<RecordingSink>([](const Delta&) { return Flow::kPause; });
  EngineRequest request = f.Greedy({7}, 5);
  ASSERT_TRUE(f.engine->Submit(request, sink).ok());
  EXPECT_EQ(f.engine->Submit(request, sink).code(), StatusCode::kInvalidArgument);
}

TEST(Engine, CancelFreesARunningRequest) {
  Fixture f({.context = 512});
  auto sink = std::make_shared<RecordingSink>();
  EngineRequest request = f.Greedy(Ids("run"), 500);
  request.ignore_eos = true;
  const RequestId id = request.id;
  ASSERT_TRUE(f.engine->Submit(std::move(request), sink).ok());
  ASSERT_TRUE(sink->WaitForTokens(3));
  f.engine->Cancel(id);
  f.engine->Cancel(id);
  f.engine->Cancel(987654);  // unknown
  ASSERT_TRUE(sink->WaitForFinish());
  // The engine is fast; it may have come to the end by itself.
  if (sink->finish() == FinishReason::kCancelled) {
    EXPECT_LT(sink->tokens().size(), 500u);
    EXPECT_EQ(sink->usage().completion_tokens, static_cast<int>(sink->tokens().size()));
  }
  EXPECT_TRUE(f.BlocksComeBack());
}

TEST(Engine, APausedReaderStopsItsOwnSequenceOnly) {
  Fixture f;
  auto slow = std::make_shared<RecordingSink>([](const Delta&) { return Flow::kPause; });
  auto quick = std::make_shared<RecordingSink>();
  EngineRequest request = f.Greedy(Ids("slow"), 3);
  const RequestId id = request.id;
  ASSERT_TRUE(f.engine->Submit(std::move(request), slow).ok());
  ASSERT_TRUE(slow->WaitForTokens(1));
  ASSERT_TRUE(f.engine->Submit(f.Greedy(Ids("quick"), 50), quick).ok());
  ASSERT_TRUE(quick->WaitForFinish());
  EXPECT_EQ(slow->tokens().size(), 1u);
  f.engine->Resume(id);
  ASSERT_TRUE(slow->WaitForTokens(2));
  f.engine->Resume(id);
  ASSERT_TRUE(slow->WaitForFinish());
  EXPECT_EQ(slow->ids(), f.model->Expected(Ids("slow"), 3));
}

TEST(Engine, LogitsThatAreNotFiniteFailTheirOwnRequest) {
  testing::FakeModelOptions options;
  options.poison_token = 200;
  options.spoken_tokens = 200;
  Fixture f({}, options);
  auto bad = std::make_shared<RecordingSink>();
  auto good = std::make_shared<RecordingSink>();
  ASSERT_TRUE(f.engine->Submit(f.Greedy(Ids("good"), 30), good).ok());
  ASSERT_TRUE(f.engine->Submit(f.Greedy({5, 200, 5}, 30), bad).ok());
  ASSERT_TRUE(bad->WaitForFinish());
  ASSERT_TRUE(good->WaitForFinish());
  EXPECT_EQ(bad->finish(), FinishReason::kError);
  EXPECT_EQ(bad->error().code(), StatusCode::kInternal);
  EXPECT_TRUE(bad->tokens().empty());
  EXPECT_EQ(good->finish(), FinishReason::kLength);
  EXPECT_EQ(good->ids(), f.model->Expected(Ids("good"), 30));
  EXPECT_TRUE(f.BlocksComeBack());
}

TEST(Engine, AClosedIntakeFinishesWhatRuns) {
  Fixture f;
  auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(f.engine->Submit(f.Greedy(Ids("x"), 40), sink).ok());
  f.engine->CloseIntake();
  const Status status = f.engine->Submit(f.Greedy(Ids("y"), 1), sink);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  ASSERT_TRUE(sink->WaitForFinish());
  EXPECT_EQ(sink->tokens().size(), 40u);
}

TEST(Engine, DestructionTellsEveryRequest) {
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  {
    Fixture f({.max_running = 2, .max_waiting = 20});
    for (int i = 0; i < 12; ++i) {
      sinks.push_back(std::make_shared<RecordingSink>([](const Delta&) { return Flow::kPause; }));
      ASSERT_TRUE(f.engine->Submit(f.Greedy(Ids("abc"), 100), sinks.back()).ok());
    }
  }
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->finish(), FinishReason::kCancelled);
    EXPECT_FALSE(sink->broken());
  }
}

TEST(Engine, AnIdleEngineBeats) {
  Fixture f;
  const int64_t before = f.engine->Stats().heartbeat_ns;
  for (int i = 0; i < 100 && f.engine->Stats().heartbeat_ns <= before + 150'000'000; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_GT(f.engine->Stats().heartbeat_ns, before + 150'000'000);
  EXPECT_EQ(f.engine->Stats().steps, 0u);
}

TEST(Engine, SurvivesThreadsThatSubmitCancelAndResumeAtRandom) {
  Fixture f({.context = 128, .kv_blocks = 24, .max_running = 6, .max_waiting = 64});
  std::atomic<int> refused{0};
  std::vector<std::shared_ptr<RecordingSink>> sinks[3];
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      Random random(static_cast<uint64_t>(t) + 1);
      std::vector<RequestId> ids;
      for (int i = 0; i < 150; ++i) {
        const bool pauses = random.Below(4) == 0;
        auto sink = std::make_shared<RecordingSink>(
            [pauses](const Delta&) { return pauses ? Flow::kPause : Flow::kContinue; });
        EngineRequest request = f.Greedy(std::vector<TokenId>(1 + random.Below(60), 9),
                                         1 + static_cast<int>(random.Below(60)));
        ids.push_back(request.id);
        if (f.engine->Submit(std::move(request), sink).ok()) {
          sinks[t].push_back(sink);
        } else {
          ++refused;
        }
        const RequestId one = ids[random.Below(ids.size())];
        random.Below(3) == 0 ? f.engine->Cancel(one) : f.engine->Resume(one);
        f.engine->Stats();
      }
      for (const RequestId id : ids) f.engine->Cancel(id);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& list : sinks) {
    for (const auto& sink : list) {
      ASSERT_TRUE(sink->WaitForFinish());
      EXPECT_FALSE(sink->broken());
    }
  }
  EXPECT_TRUE(f.BlocksComeBack());
  EXPECT_EQ(f.engine->Stats().running, 0);
  EXPECT_EQ(f.engine->Stats().waiting, 0);
}

TEST(EngineCreate, ChecksOptionsAndMemory) {
  auto model = std::make_shared<FakeModel>();  // 64 bytes × 2 layers a block
  auto tokenizer = std::make_shared<FakeTokenizer>();
  nn::Team team({.threads = 1, .pin = false});
  const auto create = [&](EngineOptions options) {
    return Engine::Create(model, tokenizer, team, sampling::testing::PlainTable(), options);
  };
  EXPECT_EQ((*create({}))->context(), 512);  // the model's own
  EXPECT_EQ((*create({.context = 100000}))->context(), 512);
  EXPECT_EQ(create({.context = 1}).status().param(), "context");
  EXPECT_EQ(create({.max_running = 0}).status().param(), "max_running");
  EXPECT_EQ(create({.max_waiting = -1}).status().param(), "max_waiting");
  EXPECT_EQ(create({.step_tokens = 0}).status().param(), "step_tokens");
  EXPECT_EQ(create({.prefill_chunk = 0}).status().param(), "prefill_chunk");
  // 256 tokens are 16 blocks of 128 bytes: one byte less does not do.
  EXPECT_TRUE(create({.context = 256, .kv_bytes_max = 16 * 128}).ok());
  EXPECT_EQ(create({.context = 256, .kv_bytes_max = 16 * 128 - 1}).status().code(),
            StatusCode::kResourceExhausted);
  // With the default context the context gives way instead.
  EXPECT_EQ((*create({.kv_bytes_max = 4 * 128}))->context(), 64);
  EXPECT_EQ(create({.kv_bytes_max = 127}).status().code(), StatusCode::kResourceExhausted);
  testing::FakeModelOptions small;
  small.vocab_size = 200;
  EXPECT_FALSE(Engine::Create(std::make_shared<FakeModel>(small), tokenizer, team,
                              sampling::testing::PlainTable(), {})
                   .ok());
}

}  // namespace
}  // namespace pelton::engine
