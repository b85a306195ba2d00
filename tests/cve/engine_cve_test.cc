// Rows 7, 13, 15, 18 and 19: what a request's numbers, strings and neighbours did to other engines.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/testing/fake_model.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "sampling/testing/plain_table.h"

namespace pelton::engine {
namespace {

using testing::FakeModel;
using testing::FakeTokenizer;
using testing::RecordingSink;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kIntMin = std::numeric_limits<int>::min();
constexpr int kIntMax = std::numeric_limits<int>::max();

struct Server {
  explicit Server(EngineOptions options, testing::FakeModelOptions model_options = {})
      : model(std::make_shared<FakeModel>(std::move(model_options))) {
    engine = *Engine::Create(model, std::make_shared<FakeTokenizer>(), team,
                             sampling::testing::PlainTable(), options);
  }
  EngineRequest Request(std::vector<int32_t> prompt, int max_tokens) {
    EngineRequest request;
    request.id = engine->NextRequestId();
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    request.sampling.temperature = 0.f;
    return request;
  }

  std::shared_ptr<FakeModel> model;
  nn::Team team{{.threads = 1, .pin = false}};
  std::unique_ptr<Engine> engine;
};

// The fake model answers from all that it reads in a sequence's KV blocks, so a neighbour's token,
// fresh or left over in a block that changed hands, would change the answer.
TEST(EngineCve, Row7_AnswersHoldNothingOfAnotherTenant) {
  Server server({.context = 64, .kv_blocks = 8, .max_running = 4, .prefill_chunk = 9});
  constexpr int32_t kCanary = 250;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (int i = 0; i < 6; ++i) {
      sinks.push_back(std::make_shared<RecordingSink>());
      const bool canary = i % 2 == 0;
      EngineRequest request = server.Request(
          std::vector<int32_t>(static_cast<size_t>(1 + (round * 7 + i * 5) % 40),
                               canary ? kCanary : 3),
          20);
      request.tenant = canary ? "a" : "b";
      ASSERT_TRUE(server.engine->Submit(std::move(request), sinks.back()).ok());
    }
    for (int i = 0; i < 6; ++i) {
      ASSERT_TRUE(sinks[i]->WaitForFinish());
      const std::vector<int32_t> prompt(static_cast<size_t>(1 + (round * 7 + i * 5) % 40),
                                        i % 2 == 0 ? kCanary : 3);
      ASSERT_EQ(sinks[i]->ids(), server.model->Expected(prompt, 20));
    }
  }
}

struct BadRequest {
  const char* what;
  std::function<void(EngineRequest&)> spoil;
};

std::vector<BadRequest> BadRequests() {
  std::vector<BadRequest> bad = {
      {"empty prompt (CVE-2024-8768)", [](auto& r) { r.prompt.clear(); }},
      {"prompt of the whole context", [](auto& r) { r.prompt.assign(128, 1); }},
      {"token id -1", [](auto& r) { r.prompt = {-1}; }},
      {"token id INT_MIN", [](auto& r) { r.prompt = {kIntMin}; }},
      {"token id past the vocabulary", [](auto& r) { r.prompt = {300}; }},
      {"token id INT_MAX", [](auto& r) { r.prompt = {kIntMax}; }},
      {"max_tokens 0", [](auto& r) { r.max_tokens = 0; }},
      {"max_tokens -1 (CVE-2026-21869)", [](auto& r) { r.max_tokens = -1; }},
      {"max_tokens INT_MIN", [](auto& r) { r.max_tokens = kIntMin; }},
      {"top_k -2", [](auto& r) { r.sampling.top_k = -2; }},
      {"top_logprobs 21", [](auto& r) { r.sampling.top_logprobs = 21; }},
      {"top_logprobs INT_MIN", [](auto& r) { r.sampling.top_logprobs = kIntMin; }},
      {"empty stop string", [](auto& r) { r.stop = {""}; }},
      {"17 stop strings", [](auto& r) { r.stop.assign(17, "x"); }},
      {"a long stop string", [](auto& r) { r.stop = {std::string(257, 'x')}; }},
      {"bias on token -1", [](auto& r) { r.sampling.logit_bias = {{-1, 1.f}}; }},
      {"bias on token 300", [](auto& r) { r.sampling.logit_bias = {{300, 1.f}}; }},
      {"1,025 biases", [](auto& r) { r.sampling.logit_bias.assign(1025, {1, 1.f}); }},
  };
  const std::vector<std::pair<const char*, float sampling::SamplingParams::*>> floats = {
      {"temperature (CVE-2026-54235)", &sampling::SamplingParams::temperature},
      {"top_p", &sampling::SamplingParams::top_p},
      {"min_p", &sampling::SamplingParams::min_p},
      {"typical_p", &sampling::SamplingParams::typical_p},
      {"repetition_penalty", &sampling::SamplingParams::repetition_penalty},
      {"frequency_penalty", &sampling::SamplingParams::frequency_penalty},
      {"presence_penalty", &sampling::SamplingParams::presence_penalty}};
  for (const auto& [what, field] : floats) {
    for (const float value : {kNan, kInfinity, -kInfinity, -3.f}) {
      bad.push_back({what, [field, value](auto& r) { r.sampling.*field = value; }});
    }
  }
  for (const float value : {kNan, kInfinity, -100.01f, 100.01f}) {
    bad.push_back({"a bias's value",
                   [value](auto& r) { r.sampling.logit_bias = {{1, value}}; }});
  }
  return bad;
}

TEST(EngineCve, Row18_EveryNumberOutOfItsBoundsIsRefused) {
  Server server({.context = 128});
  for (const BadRequest& bad : BadRequests()) {
    EngineRequest request = server.Request({1, 2}, 5);
    bad.spoil(request);
    const Status status =
        server.engine->Submit(std::move(request), std::make_shared<RecordingSink>());
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << bad.what;
    EXPECT_FALSE(status.param().empty()) << bad.what;
  }
}

TEST(EngineCve, Row13_ABadRequestEndsItselfAndNotTheEngine) {
  testing::FakeModelOptions options;
  options.poison_token = 299;  // gives NaN logits
  Server server({.context = 128, .max_running = 8}, options);
  for (const BadRequest& bad : BadRequests()) {
    auto good = std::make_shared<RecordingSink>();
    auto poisoned = std::make_shared<RecordingSink>();
    ASSERT_TRUE(server.engine->Submit(server.Request({7, 7}, 60), good).ok());
    EngineRequest request = server.Request({1}, 5);
    bad.spoil(request);
    EXPECT_FALSE(server.engine->Submit(std::move(request), std::make_shared<RecordingSink>()).ok());
    ASSERT_TRUE(server.engine->Submit(server.Request({1, 299}, 5), poisoned).ok());
    ASSERT_TRUE(poisoned->WaitForFinish());
    EXPECT_EQ(poisoned->finish(), FinishReason::kError);
    ASSERT_TRUE(good->WaitForFinish());
    EXPECT_EQ(good->ids(), server.model->Expected({7, 7}, 60)) << bad.what;
  }
}

TEST(EngineCve, Row15_TimeForStopStringsIsLinearInTheOutput) {
  testing::FakeModelOptions options;
  options.context_length = 1 << 14;
  options.layers = 1;
  options.scripts[1] = std::vector<int32_t>(4000, 'a');
  Server server({.context = 1 << 14, .max_running = 1}, options);
  EngineRequest request = server.Request({1}, 4000);
  request.stop.assign(16, std::string(255, 'a') + "b");
  auto sink = std::make_shared<RecordingSink>();
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(server.engine->Submit(std::move(request), sink).ok());
  ASSERT_TRUE(sink->WaitForFinish());
  // About 0.1 s, nearly all of it the fake model's; the naive search takes 60,000 steps a token.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_EQ(sink->text(), std::string(4000, 'a'));
}

TEST(EngineCve, Row19_TheLastPositionOfTheContextIsTheEnd) {
  for (const int context : {2, 15, 16, 17, 33}) {
    Server server({.context = context, .max_running = 2});
    for (int prompt_tokens = 1; prompt_tokens < context; ++prompt_tokens) {
      const std::vector<int32_t> prompt(static_cast<size_t>(prompt_tokens), 9);
      auto sink = std::make_shared<RecordingSink>();
      ASSERT_TRUE(server.engine->Submit(server.Request(prompt, kIntMax), sink).ok());
      ASSERT_TRUE(sink->WaitForFinish());
      EXPECT_EQ(sink->finish(), FinishReason::kLength);
      EXPECT_EQ(sink->ids(), server.model->Expected(prompt, context - prompt_tokens));
    }
  }
}

}  // namespace
}  // namespace pelton::engine
