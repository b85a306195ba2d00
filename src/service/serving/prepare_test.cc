#include "serving/prepare.h"

#include <gtest/gtest.h>

#include <limits>

#include "backend/sim/sim_backend.h"

namespace pelton::serving {
namespace {

class PrepareTest : public ::testing::Test {
 protected:
  PrepareTest() : backend_(backend::MakeSimBackend({.context = 64})) {
    request_.prompts = {TextPrompt{"hello", true}};
  }
  std::unique_ptr<backend::Backend> backend_;
  GenerateRequest request_;
};

TEST_F(PrepareTest, DefaultsAreResolvedAndTheRestOfTheContextIsTheLimit) {
  const auto sequences = Prepare(request_, *backend_);
  ASSERT_TRUE(sequences.ok());
  ASSERT_EQ(sequences->size(), 1u);
  const backend::SequenceRequest& s = sequences->front();
  EXPECT_EQ(s.prompt.size(), 6u);
  EXPECT_EQ(s.max_tokens, 58);
  EXPECT_EQ(s.temperature, 1.f);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_EQ(s.top_logprobs, -1);
}

TEST_F(PrepareTest, MaxTokensIsClampedToWhatIsLeft) {
  request_.max_tokens = 1 << 20;
  EXPECT_EQ(Prepare(request_, *backend_)->front().max_tokens, 58);
  request_.max_tokens = 3;
  EXPECT_EQ(Prepare(request_, *backend_)->front().max_tokens, 3);
}

// Never a silent cut: the error has both numbers.
TEST_F(PrepareTest, APromptAsLongAsTheContextIsRefusedWithBothNumbers) {
  request_.prompts = {TokenPrompt(63, 1)};
  EXPECT_EQ(Prepare(request_, *backend_)->front().max_tokens, 1);
  request_.prompts = {TokenPrompt(64, 1)};
  const Status status = Prepare(request_, *backend_).status();
  EXPECT_EQ(status.code(), StatusCode::kOutOfRange);
  EXPECT_NE(status.message().find("64 tokens, one"), std::string::npos);
  EXPECT_NE(status.message().find("prompt has 64 tokens"), std::string::npos);
  EXPECT_EQ(status.param(), "prompt");
}

// CVE-2024-8768: an empty prompt must not reach the engine.
TEST_F(PrepareTest, EmptyPromptsAndForeignIdsAreRefused) {
  request_.prompts = {TextPrompt{"", false}};
  EXPECT_EQ(Prepare(request_, *backend_).status().param(), "prompt");
  request_.prompts = {TokenPrompt{}};
  EXPECT_FALSE(Prepare(request_, *backend_).ok());
  for (const int id : {-1, 323, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    request_.prompts = {TokenPrompt{id}};
    EXPECT_FALSE(Prepare(request_, *backend_).ok()) << id;
  }
  request_.prompts = {TokenPrompt{322}};
  EXPECT_TRUE(Prepare(request_, *backend_).ok());
  request_.sampling.logit_bias = {{323, 1.f}};
  EXPECT_EQ(Prepare(request_, *backend_).status().param(), "logit_bias");
  request_.sampling.logit_bias = {{322, 1.f}};
  EXPECT_TRUE(Prepare(request_, *backend_).ok());
}

TEST_F(PrepareTest, ChoicesHaveSeedsOfTheirOwnAndTheFirstTheClients) {
  request_.n = 3;
  request_.sampling.seed = -5;
  const auto a = Prepare(request_, *backend_);
  const auto b = Prepare(request_, *backend_);
  ASSERT_EQ(a->size(), 3u);
  EXPECT_EQ((*a)[0].seed, static_cast<uint64_t>(-5));
  EXPECT_NE((*a)[1].seed, (*a)[0].seed);
  EXPECT_NE((*a)[2].seed, (*a)[1].seed);
  for (int i = 0; i < 3; ++i) EXPECT_EQ((*a)[i].seed, (*b)[i].seed);
  request_.sampling.seed.reset();
  EXPECT_NE(Prepare(request_, *backend_)->front().seed, Prepare(request_, *backend_)->front().seed);
}

TEST_F(PrepareTest, EdgesOfSamplingBecomeValuesThatCannotOverflow) {
  request_.sampling.top_p = 0.f;
  EXPECT_EQ(Prepare(request_, *backend_)->front().top_k, 1);
  EXPECT_EQ(Prepare(request_, *backend_)->front().top_p, 1.f);
  request_.sampling.temperature = 1e-30f;
  EXPECT_EQ(Prepare(request_, *backend_)->front().temperature, 0.f);
  request_.sampling.min_p = 1.f;
  EXPECT_LT(Prepare(request_, *backend_)->front().min_p, 1.f);
  request_.sampling.top_k = -1;
  request_.sampling.top_p.reset();
  EXPECT_EQ(Prepare(request_, *backend_)->front().top_k, 0);
}

TEST_F(PrepareTest, SequencesComePromptByPrompt) {
  request_.prompts = {TokenPrompt{1}, TokenPrompt{2}};
  request_.n = 2;
  const auto s = Prepare(request_, *backend_);
  ASSERT_EQ(s->size(), 4u);
  EXPECT_EQ((*s)[1].prompt, (TokenPrompt{1}));
  EXPECT_EQ((*s)[2].prompt, (TokenPrompt{2}));
}

}  // namespace
}  // namespace pelton::serving
