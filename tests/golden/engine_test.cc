// The engine on a real graph with tiny weights: what a request hears must be the same to the last
// bit whatever runs beside it, however its prompt is cut, after a preemption and with any number of
// threads. Logprobs of 20 candidates stand in for the logits.
#include <cstring>
#include <set>
#include <thread>

#include "base/random.h"
#include "engine/engine.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "golden_models.h"

namespace pelton::engine {
namespace {

using testing::RecordingSink;

constexpr int kAnswerTokens = 40;

struct Surroundings {
  const char* name;
  int threads = 1;
  int others = 0;
  int other_tokens = kAnswerTokens;
  int prefill_chunk = 256;
  int kv_blocks = 0;
  bool speculation = false;
  float temperature = 1.2f;
  int period = 1000;  // after which prompts repeat themselves
};

class EngineOnTinyModel : public ::testing::TestWithParam<const char*> {};

EngineRequest RequestOf(Engine& engine, const Surroundings& around, int prompt_tokens,
                        uint64_t seed) {
  EngineRequest request;
  request.id = engine.NextRequestId();
  for (int i = 0; i < prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>(
        Mix64(seed * 1000 + i % around.period) % static_cast<uint64_t>(engine.info().vocab_size)));
  }
  request.max_tokens = seed == 1 ? kAnswerTokens : around.other_tokens;
  request.ignore_eos = true;
  request.sampling.temperature = around.temperature;
  request.sampling.seed = seed;
  request.sampling.top_logprobs = 20;
  return request;
}

// The request of seed 1 among others.
std::vector<TokenOut> Answer(const std::string& file, const Surroundings& around,
                             EngineStats* stats) {
  nn::Team team({.threads = around.threads, .pin = false});
  const kernels::KernelTable& table = golden::BestTable();
  golden::Loaded loaded = golden::Load(file, table, team);
  if (loaded.model == nullptr) return {};
  auto engine = Engine::Create(std::move(loaded.model),
                               std::make_shared<testing::FakeTokenizer>(), team, table,
                               {.context = 96,
                                .kv_blocks = around.kv_blocks,
                                .kv_bytes_max = 64 << 20,
                                .max_running = 32,
                                .prefill_chunk = around.prefill_chunk,
                                .speculation = around.speculation ? "auto" : "off"});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  if (!engine.ok()) return {};
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  const auto submit = [&](uint64_t seed, int prompt_tokens) {
    sinks.push_back(std::make_shared<RecordingSink>());
    EXPECT_TRUE((*engine)->Submit(RequestOf(**engine, around, prompt_tokens, seed), sinks.back())
                    .ok());
    return sinks.back();
  };
  for (int i = 0; i < around.others / 2; ++i) submit(100 + i, 1 + 5 * i);
  auto ours = submit(1, 50);
  for (int i = around.others / 2; i < around.others; ++i) submit(100 + i, 1 + 3 * i);
  for (const auto& sink : sinks) EXPECT_TRUE(sink->WaitForFinish(/*seconds=*/300));
  EXPECT_EQ(ours->finish(), FinishReason::kLength);
  *stats = (*engine)->Stats();
  return ours->tokens();
}

void ExpectSameBits(const std::vector<TokenOut>& a, const std::vector<TokenOut>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].id, b[i].id) << "token " << i;
    ASSERT_EQ(std::memcmp(&a[i].logprob, &b[i].logprob, sizeof(float)), 0) << "token " << i;
    ASSERT_EQ(a[i].top.size(), b[i].top.size());
    for (size_t j = 0; j < a[i].top.size(); ++j) {
      ASSERT_EQ(a[i].top[j].token, b[i].top[j].token) << "token " << i;
      ASSERT_EQ(std::memcmp(&a[i].top[j].logprob, &b[i].top[j].logprob, sizeof(float)), 0);
    }
  }
}

TEST_P(EngineOnTinyModel, AnswersAreBitEqualWhateverRunsBeside) {
  EngineStats stats;
  const auto alone = Answer(golden::DataPath(GetParam()), {.name = "alone"}, &stats);
  ASSERT_EQ(alone.size(), static_cast<size_t>(kAnswerTokens));
  std::set<int32_t> distinct;
  for (const TokenOut& token : alone) distinct.insert(token.id);
  EXPECT_GT(distinct.size(), 5u) << "an answer that says something";
  for (const Surroundings& around : {Surroundings{.name = "16 others", .others = 16},
                                     {.name = "chunks of 1", .prefill_chunk = 1},
                                     {.name = "chunks of 7", .others = 3, .prefill_chunk = 7},
                                     {.name = "2 threads", .threads = 2, .others = 5}}) {
    SCOPED_TRACE(around.name);
    ExpectSameBits(alone, Answer(golden::DataPath(GetParam()), around, &stats));
  }
}

TEST_P(EngineOnTinyModel, AnswersAreBitEqualAfterPreemption) {
  EngineStats stats;
  const auto alone = Answer(golden::DataPath(GetParam()), {.name = "alone"}, &stats);
  EXPECT_EQ(stats.preemptions, 0u);
  const auto pressed =
      Answer(golden::DataPath(GetParam()), {.name = "pressed", .others = 8, .kv_blocks = 14}, &stats);
  EXPECT_GT(stats.preemptions, 0u);
  ExpectSameBits(alone, pressed);
}

// Where guesses are right and where they are wrong: greedy text of a small model runs in circles.
void CheckSpeculation(const std::string& file, int other_tokens = kAnswerTokens) {
  uint64_t accepted = 0, refused = 0;
  for (const float temperature : {0.f, 0.6f}) {
    EngineStats stats;
    const auto answer = [&](Surroundings around) {
      around.temperature = temperature;
      around.period = 12;
      return Answer(file, around, &stats);
    };
    const auto without = answer({.name = "without"});
    ASSERT_EQ(without.size(), static_cast<size_t>(kAnswerTokens));
    EXPECT_EQ(stats.draft_tokens, 0u);
    for (const Surroundings& around :
         {Surroundings{.name = "alone", .speculation = true},
          {.name = "2 threads, chunks of 7, 16 others", .threads = 2, .others = 16,
           .other_tokens = other_tokens, .prefill_chunk = 7, .speculation = true},
          {.name = "pressed", .others = 8, .kv_blocks = 14, .speculation = true}}) {
      SCOPED_TRACE(around.name);
      ExpectSameBits(without, answer(around));
      accepted += stats.accepted_draft_tokens;
      refused += stats.draft_tokens - stats.accepted_draft_tokens;
    }
    // Whether the others are there in time to press is a race with a fast model.
    for (int again = 0; again < 20 && stats.preemptions == 0; ++again) {
      ExpectSameBits(without, answer({.name = "pressed again", .others = 24, .kv_blocks = 14,
                                      .speculation = true}));
    }
    EXPECT_GT(stats.preemptions, 0u);
  }
  EXPECT_GT(accepted, 0u);
  EXPECT_GT(refused, 0u);
}

TEST_P(EngineOnTinyModel, AnswersAreBitEqualWithSpeculation) {
  CheckSpeculation(golden::DataPath(GetParam()));
}

TEST(EngineOnSmolLm2, AnswersAreBitEqualWithSpeculation) {
  CheckSpeculation(golden::ModelPath("smollm2"), /*other_tokens=*/10);
}

INSTANTIATE_TEST_SUITE_P(Families, EngineOnTinyModel,
                         ::testing::Values("tiny.llama.gguf", "tiny.llama3.gguf",
                                           "tiny.mistral.gguf", "tiny.gemma3.gguf"),
                         [](const auto& info) {
                           std::string name(info.param);
                           for (char& c : name) {
                             if (c == '.') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace pelton::engine
