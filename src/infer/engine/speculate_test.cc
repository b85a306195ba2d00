// Speculation through the loop, turn by turn with a clock that stands: what it saves, what it may
// cost, and that nobody who reads the answer can tell.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "base/random.h"
#include "engine/loop.h"
#include "engine/testing/fake_model.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "sampling/testing/plain_table.h"

namespace pelton::engine {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::FakeTokenizer;
using testing::RecordingSink;
using text::TokenId;

constexpr SchedulerLimits kLimits{.step_tokens = 64, .prefill_chunk = 16, .max_running = 24,
                                  .block_tokens = 16, .draft_rows = 32};

SchedulerLimits Without(SchedulerLimits limits) {
  limits.draft_rows = 0;
  return limits;
}

// Three tokens of memory and few words: falls into a circle soon, and out of it now and then.
FakeModelOptions Repeating(int surprise_every) {
  FakeModelOptions options;
  options.spoken_tokens = 12;
  options.memory_tokens = 2;
  options.surprise_every = surprise_every;
  return options;
}

struct Fixture {
  explicit Fixture(SchedulerLimits l = kLimits, FakeModelOptions options = Repeating(0),
                   int blocks = 400)
      : limits(l), model(std::move(options)), inbox(64, clock),
        loop({.model = model, .tokenizer = tokenizer, .team = team, .clock = clock, .inbox = inbox},
             limits, 20'000,
             *kv::KvStorage::Create(model.info().layers, blocks, model.info().kv_block_bytes)) {}

  std::shared_ptr<RecordingSink> Submit(EngineRequest request,
                                        std::function<Flow(const Delta&)> on_delta = {}) {
    auto sink = std::make_shared<RecordingSink>(std::move(on_delta));
    request.id = ++last_id;
    EXPECT_TRUE(inbox.Put(std::make_unique<Sequence>(std::move(request), sink, tokenizer,
                                                     model.info().vocab_size,
                                                     sampling::testing::PlainTable(), 512,
                                                     clock.NowNs()))
                    .ok());
    return sink;
  }

  std::shared_ptr<RecordingSink> Greedy(std::vector<TokenId> prompt, int max_tokens) {
    EngineRequest request;
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0.f;
    return Submit(std::move(request));
  }

  // One turn; what must hold after each.
  void Turn() {
    clock.AdvanceNs(1000);
    loop.Turn(0);
    int rows = 0;
    for (const Plan::Work& work : loop.last_plan().work) rows += work.rows + work.draft_rows;
    ASSERT_LE(rows, limits.step_tokens);
    for (const auto& sequence : loop.sequences()) {
      ASSERT_LT(sequence->computed, sequence->known());
      ASSERT_EQ(static_cast<int>(sequence->blocks.size()), (sequence->computed + 15) / 16);
    }
  }
  int TurnsUntilDone(int most = 4000) {
    int turns = 0;
    do Turn();
    while (++turns < most && inbox.alive() > 0);
    EXPECT_EQ(inbox.alive(), 0);
    EXPECT_EQ(loop.cache().available(), loop.cache().pool().total());
    return turns;
  }

  const SchedulerLimits limits;
  FakeClock clock;
  FakeModel model;
  FakeTokenizer tokenizer;
  nn::Team team{{.threads = 1, .pin = false}};
  Inbox inbox;
  Loop loop;
  RequestId last_id = 0;
};

TEST(Speculation, ARepeatingTextNeedsLessThanAThirdOfTheSteps) {
  Fixture on, off(Without(kLimits));
  const auto fast = on.Greedy({1, 2, 3}, 300);
  const auto slow = off.Greedy({1, 2, 3}, 300);
  on.TurnsUntilDone();
  off.TurnsUntilDone();
  EXPECT_EQ(fast->ids(), slow->ids());
  EXPECT_EQ(off.model.steps, 300u);
  EXPECT_LT(on.model.steps * 3, off.model.steps);
  const EngineStats stats = on.loop.Stats();
  EXPECT_EQ(stats.generated_tokens, 300u);
  EXPECT_EQ(stats.accepted_draft_tokens, 300 - on.model.steps);
  EXPECT_GE(stats.draft_tokens, stats.accepted_draft_tokens);
  EXPECT_EQ(on.model.rows, 3 + on.model.steps - 1 + stats.draft_tokens);
  EXPECT_GT(stats.drafts, 10u);
  EXPECT_EQ(off.loop.Stats().draft_tokens, 0u);
}

TEST(Speculation, ATextThatQuotesItsPromptSavesSteps) {
  FakeModelOptions options = Repeating(0);
  std::vector<TokenId> script;
  for (int i = 0; i < 60; ++i) script.push_back(20 + i);  // the prompt after its first token
  for (int i = 0; i < 50; ++i) script.push_back(20 + i);  // the answer
  options.scripts[1] = script;
  Fixture f(kLimits, options);
  std::vector<TokenId> prompt{1};
  prompt.insert(prompt.end(), script.begin(), script.begin() + 60);
  const auto sink = f.Greedy(prompt, 50);
  f.TurnsUntilDone();
  EXPECT_EQ(sink->ids(), f.model.Expected(prompt, 50));
  EXPECT_LT(f.model.steps, 4u + 25u);
}

// The worst reader: knows the drafter and always says what it does not guess.
std::vector<TokenId> ContraryText(int tokens) {
  std::vector<TokenId> text{1};
  Drafter drafter(tokens);
  while (static_cast<int>(text.size()) < tokens) {
    drafter.Propose(text, 1, {});
    const TokenId guess = drafter.draft().empty() ? 'a' : drafter.draft()[0];
    text.push_back('a' + (guess - 'a' + 1) % 3);
    drafter.Settle(0, 0);
  }
  text.erase(text.begin());
  return text;
}

TEST(Speculation, ATextMadeToRefuseAllGuessesCostsFewRows) {
  FakeModelOptions options;
  options.scripts[1] = ContraryText(500);
  Fixture f(kLimits, options);
  const auto sink = f.Greedy({1}, 490);
  f.TurnsUntilDone();
  EXPECT_EQ(sink->ids(), f.model.Expected({1}, 490));
  const EngineStats stats = f.loop.Stats();
  EXPECT_GT(stats.draft_tokens, 5u) << "it does try";
  EXPECT_LE(stats.draft_tokens - stats.accepted_draft_tokens,
            16 + stats.steps / 32 + 4 * stats.accepted_draft_tokens);
  EXPECT_LE(f.model.rows, 490 + 16 + 490 / 20);
}

TEST(Speculation, WithdrawsFromLargeBatches) {
  for (const int others : {0, 23}) {
    SchedulerLimits limits = kLimits;
    limits.draft_rows = 24;
    Fixture f(limits);
    f.Greedy({1, 2}, 200);
    for (int i = 0; i < others; ++i) f.Greedy({3, static_cast<TokenId>(i)}, 200);
    for (int i = 0; i < 100; ++i) f.Turn();
    EXPECT_EQ(f.loop.sequences().size() == 24u, others == 23);
    EXPECT_EQ(f.loop.Stats().draft_tokens > 0, others == 0);
  }
}

TEST(Speculation, NeverPastTheLastToken) {
  for (int max_tokens = 1; max_tokens < 40; ++max_tokens) {
    Fixture f;
    const auto sink = f.Greedy({7, 8, 7, 8, 7, 8}, max_tokens);
    f.TurnsUntilDone();
    ASSERT_EQ(sink->ids(), f.model.Expected({7, 8, 7, 8, 7, 8}, max_tokens));
    ASSERT_EQ(sink->usage().completion_tokens, max_tokens);
  }
}

TEST(Speculation, TokensBehindAStopInTheSameStepAreDropped) {
  FakeModelOptions options;
  for (int i = 0; i < 10; ++i) {
    for (const TokenId id : {'a', 'b', 'c', 'd', 'e'}) options.scripts[1].push_back(id);
  }
  options.scripts[1][40] = FakeTokenizer::kEos;
  options.scripts[2] = {'p', 'q', FakeTokenizer::kEos, 'p', 'q', FakeTokenizer::kEos};
  Fixture f(kLimits, options);
  EngineRequest stop_string;
  stop_string.prompt = {1};
  stop_string.max_tokens = 60;
  stop_string.sampling.temperature = 0.f;
  stop_string.stop = {"eabcdeabcdeabcdea"};
  const auto by_string = f.Submit(stop_string);
  const auto by_end = f.Greedy({1}, 60);
  // The prompt says the end already, so that the draft does.
  const auto end_in_draft = f.Greedy({2, 'p', 'q', FakeTokenizer::kEos, 'p', 'q'}, 60);
  f.TurnsUntilDone();
  EXPECT_EQ(by_string->finish(), FinishReason::kStop);
  EXPECT_EQ(by_string->text(), "abcd");
  EXPECT_EQ(by_string->usage().completion_tokens, 21);
  EXPECT_EQ(by_string->tokens().size(), 21u);
  EXPECT_EQ(by_end->finish(), FinishReason::kStop);
  EXPECT_EQ(by_end->usage().completion_tokens, 41);
  EXPECT_EQ(end_in_draft->finish(), FinishReason::kStop);
  EXPECT_EQ(end_in_draft->ids(), std::vector<TokenId>{FakeTokenizer::kEos});
  EXPECT_GT(f.loop.Stats().accepted_draft_tokens, 20u);
}

TEST(Speculation, LogitsThatAreNotFiniteFailWhereTheyWouldHaveWithout) {
  FakeModelOptions options;
  options.poison_token = 200;
  for (int i = 0; i < 30; ++i) options.scripts[1].push_back('a' + i % 3);
  options.scripts[1][29] = 200;
  for (const bool speculation : {false, true}) {
    Fixture f(speculation ? kLimits : Without(kLimits), options);
    const auto sink = f.Greedy({1}, 60);
    f.TurnsUntilDone();
    EXPECT_EQ(sink->finish(), FinishReason::kError);
    EXPECT_EQ(sink->ids(), options.scripts[1]);
  }
}

TEST(Speculation, DraftsTakeNoBlockThatAnotherNeeds) {
  // 4 blocks of 16: two for each, until the first ends and the second wants its third.
  FakeModelOptions options = Repeating(0);
  for (const bool speculation : {false, true}) {
    Fixture f(speculation ? kLimits : Without(kLimits), options, 4);
    const std::vector<TokenId> one(20, 8), other(20, 7);
    const auto a = f.Greedy(one, 12);
    const auto b = f.Greedy(other, 28);
    f.TurnsUntilDone();
    EXPECT_EQ(a->ids(), f.model.Expected(one, 12));
    EXPECT_EQ(b->ids(), f.model.Expected(other, 28));
    EXPECT_EQ(f.loop.Stats().preemptions, 0u);
    EXPECT_EQ(f.loop.Stats().accepted_draft_tokens > 0, speculation);
  }
}

TEST(Speculation, PausesCancelsAndPreemptionsInTheMiddle) {
  // 12 blocks for 6 sequences that want 8 each.
  Fixture f(kLimits, Repeating(9), 12);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 6; ++i) {
    EngineRequest request;
    request.prompt = {i, 1, i, 1};
    request.max_tokens = 110;
    request.sampling.temperature = 0.f;
    sinks.push_back(f.Submit(request, [i](const Delta& delta) {
      return i % 2 == 1 && delta.usage.completion_tokens % 3 == 0 ? Flow::kPause : Flow::kContinue;
    }));
  }
  for (int turn = 0; turn < 3000 && f.inbox.alive() > 0; ++turn) {
    f.Turn();
    if (turn == 15) f.inbox.Cancel(1);
    f.inbox.Resume(2 + static_cast<RequestId>(turn % 5));
  }
  ASSERT_EQ(f.inbox.alive(), 0);
  EXPECT_EQ(f.loop.cache().available(), f.loop.cache().pool().total());
  EXPECT_GT(f.loop.Stats().preemptions, 0u);
  EXPECT_GT(f.loop.Stats().accepted_draft_tokens, 0u);
  EXPECT_EQ(sinks[0]->finish(), FinishReason::kCancelled);
  for (int i = 1; i < 6; ++i) {
    EXPECT_EQ(sinks[i]->ids(), f.model.Expected({i, 1, i, 1}, 110)) << i;
    EXPECT_FALSE(sinks[i]->broken());
  }
}

// Everything that a request may ask of its sampler and its text.
std::vector<std::pair<std::string, EngineRequest>> Features() {
  std::vector<std::pair<std::string, EngineRequest>> grid;
  const auto add = [&](const char* name, auto change) {
    EngineRequest request;
    request.prompt = {5, 6, 7, 5, 6, 7, 5, 6};
    request.max_tokens = 150;
    request.sampling.temperature = 0.8f;
    request.sampling.seed = 77;
    change(request, request.sampling);
    grid.emplace_back(name, request);
  };
  using R = EngineRequest&;
  using S = sampling::SamplingParams&;
  add("greedy", [](R, S s) { s.temperature = 0.f; });
  add("plain draw", [](R, S) {});
  add("hot", [](R, S s) { s.temperature = 1.6f; });
  add("top_k", [](R, S s) { s.top_k = 5; });
  add("top_p", [](R, S s) { s.top_p = 0.9f; });
  add("min_p", [](R, S s) { s.min_p = 0.02f; });
  add("typical_p", [](R, S s) { s.typical_p = 0.7f; });
  add("repetition_penalty", [](R, S s) { s.repetition_penalty = 1.2f; });
  add("frequency_penalty", [](R, S s) { s.frequency_penalty = 0.1f; });
  add("presence_penalty", [](R, S s) { s.presence_penalty = 1.5f; });
  add("greedy with penalties", [](R, S s) {
    s.temperature = 0.f;
    s.repetition_penalty = 1.3f;
    s.frequency_penalty = 0.2f;
  });
  add("negative penalty", [](R, S s) { s.frequency_penalty = -0.5f; });
  add("logit_bias", [](R, S s) { s.logit_bias = {{3, 4.f}, {5, -100.f}, {3, 0.5f}}; });
  add("logprobs", [](R, S s) { s.top_logprobs = 5; });
  add("logprobs, greedy", [](R, S s) {
    s.top_logprobs = 20;
    s.temperature = 0.f;
  });
  add("all at once", [](R, S s) {
    s = {.temperature = 0.9f, .top_k = 40, .top_p = 0.95f, .min_p = 0.01f, .typical_p = 0.95f,
         .repetition_penalty = 1.05f, .frequency_penalty = 0.05f, .presence_penalty = -0.1f,
         .logit_bias = {{2, 1.f}}, .seed = 5, .top_logprobs = 3};
  });
  add("stop string", [](R r, S) { r.stop = {std::string("\x04\x05\x06", 3), "\x0b\x0b\x01"}; });
  add("stop string kept", [](R r, S s) {
    r.stop = {std::string("\x01\x02", 2), std::string("\x09\x03", 2)};
    r.include_stop_in_text = true;
    s.top_logprobs = 1;
  });
  add("ignore_eos", [](R r, S s) {
    r.ignore_eos = true;
    s.logit_bias = {{FakeTokenizer::kEos, 5.f}};
  });
  add("ends soon", [](R, S s) { s.logit_bias = {{FakeTokenizer::kEos, 3.f}}; });
  add("special tokens", [](R r, S s) {
    r.special_tokens_in_text = true;
    s.logit_bias = {{FakeTokenizer::kBos, 6.f}};
  });
  return grid;
}

void ExpectSame(const RecordingSink& a, const RecordingSink& b) {
  EXPECT_EQ(a.text(), b.text());
  EXPECT_EQ(a.ids(), b.ids());
  EXPECT_EQ(a.finish(), b.finish());
  EXPECT_EQ(a.stop_match(), b.stop_match());
  EXPECT_EQ(a.usage().completion_tokens, b.usage().completion_tokens);
  EXPECT_EQ(a.usage().prompt_tokens, b.usage().prompt_tokens);
  const auto x = a.tokens(), y = b.tokens();
  ASSERT_EQ(x.size(), y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(std::memcmp(&x[i].logprob, &y[i].logprob, sizeof(float)), 0) << i;
    ASSERT_EQ(x[i].top.size(), y[i].top.size());
    for (size_t j = 0; j < x[i].top.size(); ++j) {
      ASSERT_EQ(x[i].top[j].token, y[i].top[j].token);
      ASSERT_EQ(std::memcmp(&x[i].top[j].logprob, &y[i].top[j].logprob, sizeof(float)), 0);
    }
  }
}

TEST(Speculation, EveryAnswerIsBitEqualWithAndWithoutAloneAndAmongOthers) {
  int with_hits = 0;
  for (const auto& [name, request] : Features()) {
    SCOPED_TRACE(name);
    std::map<std::pair<bool, int>, std::shared_ptr<RecordingSink>> answers;
    uint64_t accepted = 0;
    for (const bool speculation : {false, true}) {
      for (const int others : {0, 16}) {
        Fixture f(speculation ? kLimits : Without(kLimits), Repeating(15));
        for (int i = 0; i < others / 2; ++i) f.Greedy({3, i}, 60 + i);
        answers[{speculation, others}] = f.Submit(request);
        for (int i = others / 2; i < others; ++i) {
          EngineRequest other = request;
          other.sampling.seed = 1000 + static_cast<uint64_t>(i);
          f.Submit(other);
        }
        f.TurnsUntilDone();
        if (speculation && others == 0) accepted = f.loop.Stats().accepted_draft_tokens;
      }
    }
    with_hits += accepted > 0;
    ExpectSame(*answers[{false, 0}], *answers[{true, 0}]);
    ExpectSame(*answers[{false, 0}], *answers[{false, 16}]);
    ExpectSame(*answers[{false, 0}], *answers[{true, 16}]);
  }
  EXPECT_GE(with_hits, 14) << "most of the grid must have had guesses that were right";
}

}  // namespace
}  // namespace pelton::engine
