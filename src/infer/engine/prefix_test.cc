// The prefix cache inside the engine: who computes what, by counts of computed tokens.
#include <gtest/gtest.h>

#include <numeric>

#include "engine/loop.h"
#include "engine/testing/fake_model.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "sampling/testing/plain_table.h"

namespace pelton::engine {
namespace {

using testing::FakeModel;
using testing::FakeTokenizer;
using testing::RecordingSink;

constexpr SchedulerLimits kLimits{
    .step_tokens = 64, .prefill_chunk = 16, .max_running = 8, .block_tokens = 16};

testing::FakeModelOptions ModelOptions() {
  testing::FakeModelOptions options;
  options.context_length = 8192;
  return options;
}

struct Fixture {
  explicit Fixture(int blocks = 64, PrefixOptions prefix = {}, SchedulerLimits l = kLimits)
      : limits(l), model(ModelOptions()), inbox(64, clock),
        loop({.model = model, .tokenizer = tokenizer, .team = team, .clock = clock, .inbox = inbox},
             limits, /*pause_grace_ns=*/20'000,
             *kv::KvStorage::Create(model.info().layers, blocks, model.info().kv_block_bytes),
             prefix) {}

  std::shared_ptr<RecordingSink> Submit(const std::vector<int32_t>& prompt, int max_tokens,
                                        const std::string& tenant = "a") {
    auto sink = std::make_shared<RecordingSink>();
    EngineRequest request;
    request.id = ++last_id;
    request.tenant = tenant;
    request.prompt = prompt;
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0.f;
    EXPECT_TRUE(inbox.Put(std::make_unique<Sequence>(std::move(request), sink, tokenizer,
                                                     model.info().vocab_size,
                                                     sampling::testing::PlainTable(), 8192,
                                                     clock.NowNs()))
                    .ok());
    return sink;
  }

  void Turns(int n) {
    for (int i = 0; i < n; ++i) {
      clock.AdvanceNs(1000);
      loop.Turn(0);
      EXPECT_STREQ(loop.cache().Inconsistency(), nullptr);
    }
  }
  // Alone, to its end; checks the answer against the model's.
  std::shared_ptr<RecordingSink> Run(const std::vector<int32_t>& prompt, int max_tokens,
                                     const std::string& tenant = "a") {
    auto sink = Submit(prompt, max_tokens, tenant);
    for (int i = 0; i < 2000 && !sink->finish(); ++i) Turns(1);
    EXPECT_EQ(sink->finish(), FinishReason::kLength);
    EXPECT_EQ(sink->ids(), model.Expected(prompt, max_tokens));
    return sink;
  }
  uint64_t Computed() const { return loop.Stats().computed_tokens; }

  const SchedulerLimits limits;
  FakeClock clock;
  FakeModel model;
  FakeTokenizer tokenizer;
  nn::Team team{{.threads = 1, .pin = false}};
  Inbox inbox;
  Loop loop;
  RequestId last_id = 0;
};

std::vector<int32_t> Prompt(int tokens, int32_t seed = 0) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < tokens; ++i) prompt.push_back((seed * 37 + i * i * 7 + i) % 250);
  return prompt;
}

TEST(Prefix, AnEqualPromptIsComputedFromItsLastBlockOn) {
  Fixture f;
  EXPECT_EQ(f.Run(Prompt(100), 4)->usage().cached_tokens, 0);
  EXPECT_EQ(f.Computed(), 103u);
  EXPECT_EQ(f.Run(Prompt(100), 4)->usage().cached_tokens, 96);
  EXPECT_EQ(f.Computed(), 103u + 7);
  const EngineStats stats = f.loop.Stats();
  EXPECT_EQ(stats.prefix_queried_tokens, 200u);
  EXPECT_EQ(stats.prefix_hit_tokens, 96u);
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.prefix_idle_blocks, 6);
}

TEST(Prefix, TheLastTokenOfAPromptIsAlwaysComputed) {
  Fixture f;
  for (const int tokens : {1, 15, 16, 17, 32, 33}) {
    f.Run(Prompt(tokens, tokens), 1);
    EXPECT_EQ(f.Run(Prompt(tokens, tokens), 1)->usage().cached_tokens, (tokens - 1) / 16 * 16);
  }
}

TEST(Prefix, AnswersAreFoundByTheNextTurn) {
  Fixture f;
  std::vector<int32_t> chat = Prompt(40);
  auto first = f.Run(chat, 30);
  const auto answer = first->ids();
  chat.insert(chat.end(), answer.begin(), answer.end());  // 70 known, 69 computed
  chat.push_back(9);
  EXPECT_EQ(f.Run(chat, 2)->usage().cached_tokens, 64);
}

TEST(Prefix, AnotherTenantFindsNothing) {
  Fixture f;
  f.Run(Prompt(100), 4, "a");
  EXPECT_EQ(f.Run(Prompt(100), 4, "b")->usage().cached_tokens, 0);
  EXPECT_EQ(f.Run(Prompt(100), 4, "a")->usage().cached_tokens, 96);
  PrefixOptions shared;
  shared.hooks.share_between_tenants = true;
  Fixture g(64, shared);
  g.Run(Prompt(100), 4, "a");
  EXPECT_EQ(g.Run(Prompt(100), 4, "b")->usage().cached_tokens, 96);  // so the test can fail
}

TEST(Prefix, OffComputesEverything) {
  PrefixOptions off;
  off.on = false;
  Fixture f(64, off);
  f.Run(Prompt(100), 4);
  EXPECT_EQ(f.Run(Prompt(100), 4)->usage().cached_tokens, 0);
  EXPECT_EQ(f.Computed(), 206u);
}

TEST(Prefix, EqualPromptsThatArriveTogetherAreComputedOnce) {
  Fixture f;
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 8; ++i) sinks.push_back(f.Submit(Prompt(100), 3));
  auto other = f.Submit(Prompt(20, 5), 3);  // does not wait behind those who wait
  f.Turns(3);
  EXPECT_EQ(other->tokens().size(), 2u);
  f.Turns(20);
  for (const auto& sink : sinks) EXPECT_EQ(sink->ids(), f.model.Expected(Prompt(100), 3));
  EXPECT_EQ(f.Computed(), 100u + 2 + 7 * (4 + 2) + 22);
  EXPECT_EQ(sinks[7]->usage().cached_tokens, 96);
}

TEST(Prefix, NobodyWaitsForOneThatIsGoneOrPaused) {
  Fixture f;
  auto first = f.Submit(Prompt(160), 3);
  auto second = f.Submit(Prompt(160), 3);
  f.Turns(3);
  f.inbox.Cancel(1);
  f.Turns(12);
  EXPECT_EQ(first->finish(), FinishReason::kCancelled);
  EXPECT_EQ(second->finish(), FinishReason::kLength);
  EXPECT_EQ(second->usage().cached_tokens, 48);  // what the first had computed in three turns
  EXPECT_EQ(f.Computed(), 48u + 112 + 2);
}

TEST(Prefix, NobodyWaitsForOneWhoseDeadlinePassesInTheSameTurn) {
  Fixture f(64, {}, {.step_tokens = 16, .prefill_chunk = 16, .max_running = 1, .block_tokens = 16});
  auto running = f.Submit(Prompt(5, 9), 2);
  EngineRequest late;
  late.id = ++f.last_id;
  late.tenant = "a";
  late.prompt = Prompt(40);
  late.max_tokens = 2;
  late.deadline_ns = 2500;
  auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(f.inbox.Put(std::make_unique<Sequence>(std::move(late), sink, f.tokenizer,
                                                     f.model.info().vocab_size,
                                                     sampling::testing::PlainTable(), 8192,
                                                     f.clock.NowNs()))
                  .ok());
  auto next = f.Submit(Prompt(40), 2);
  f.Turns(2);
  EXPECT_EQ(running->finish(), FinishReason::kLength);
  f.Turns(1);  // at 3000 ns: one expires, the other begins
  EXPECT_EQ(sink->finish(), FinishReason::kError);
  EXPECT_EQ(f.loop.sequences().front()->computed, 16);
}

TEST(Prefix, IdleBlocksGiveWayBeforeAnybodyIsPreempted) {
  Fixture f(8);
  for (int i = 0; i < 6; ++i) f.Run(Prompt(100, i), 2);
  EXPECT_GT(f.loop.Stats().prefix_evictions, 0u);
  EXPECT_EQ(f.loop.Stats().preemptions, 0u);
}

TEST(Prefix, APreemptedSequenceFindsItsOwnBlocksAgain) {
  // 9 blocks; two that want 6 each: the second is preempted at the end of the first's growth.
  Fixture f(9);
  auto a = f.Submit(Prompt(40, 1), 56);
  auto b = f.Submit(Prompt(40, 2), 56);
  f.Turns(200);
  EXPECT_EQ(a->ids(), f.model.Expected(Prompt(40, 1), 56));
  EXPECT_EQ(b->ids(), f.model.Expected(Prompt(40, 2), 56));
  EXPECT_GT(f.loop.Stats().preemptions, 0u);
  EXPECT_LT(f.Computed(), 95u * 2 + 60) << "less than all of the second again";
  EXPECT_EQ(b->usage().cached_tokens, 0);
}

TEST(Prefix, TenTurnsOverALongSystemPromptComputeItOnce) {
  Fixture f(400);
  std::vector<int32_t> chat = Prompt(3600);
  uint64_t before = f.Computed();
  uint64_t first = 0;
  for (int turn = 1; turn <= 10; ++turn) {
    const auto question = Prompt(25, 50 + turn);
    chat.insert(chat.end(), question.begin(), question.end());
    const auto answer = f.Run(chat, 20)->ids();
    chat.insert(chat.end(), answer.begin(), answer.end());
    const uint64_t prompt_computed = f.Computed() - before - 19;
    before = f.Computed();
    if (turn == 1) first = prompt_computed;
    if (turn > 1) {
      EXPECT_LE(prompt_computed * 10, first) << "turn " << turn;
    }
  }
  EXPECT_EQ(first, 3625u);
}

TEST(Prefix, PreemptionFreesSharedBlocksOnlyWithTheirLastHolder) {
  // Two equal sequences share all of their full blocks; a third of higher priority takes the memory.
  Fixture f(6);
  auto a = f.Submit(Prompt(40), 30);
  auto b = f.Submit(Prompt(40), 30);
  f.Turns(8);
  EngineRequest urgent;
  urgent.id = ++f.last_id;
  urgent.prompt = Prompt(90, 3);
  urgent.max_tokens = 3;
  urgent.priority = 1;
  urgent.sampling.temperature = 0.f;
  auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(f.inbox.Put(std::make_unique<Sequence>(std::move(urgent), sink, f.tokenizer,
                                                     f.model.info().vocab_size,
                                                     sampling::testing::PlainTable(), 8192,
                                                     f.clock.NowNs()))
                  .ok());
  f.Turns(8);
  EXPECT_EQ(sink->finish(), FinishReason::kLength);
  EXPECT_EQ(f.loop.Stats().preemptions, 2u);
  f.Turns(150);
  EXPECT_EQ(a->ids(), f.model.Expected(Prompt(40), 30));
  EXPECT_EQ(b->ids(), f.model.Expected(Prompt(40), 30));
}

}  // namespace
}  // namespace pelton::engine
