// The prefix cache on disk inside the engine: what a second process, or a memory that had to give
// blocks away, finds there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/loop.h"
#include "engine/testing/fake_model.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "sampling/testing/plain_table.h"

namespace pelton::engine {
namespace {

namespace fs = std::filesystem;
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

// One process: everything but the folder ends with it.
struct Process {
  Process(const std::string& folder, int blocks, std::string scope = "model",
          bool share_between_tenants = false)
      : disk(*kv::DiskCache::Open({.folder = folder, .bytes_max = 16 << 20, .build = "1",
                                   .own_thread = false})),
        model(ModelOptions()), inbox(64, clock) {
    PrefixOptions prefix;
    prefix.disk = disk.get();
    prefix.scope = std::move(scope);
    prefix.hooks.share_between_tenants = share_between_tenants;
    loop = std::make_unique<Loop>(
        LoopParts{.model = model, .tokenizer = tokenizer, .team = team, .clock = clock,
                  .inbox = inbox},
        kLimits, /*pause_grace_ns=*/20'000,
        *kv::KvStorage::Create(model.info().layers, blocks, model.info().kv_block_bytes), prefix);
  }

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
  void Turns(int n, int disk_blocks_a_turn = 1000) {
    for (int i = 0; i < n; ++i) {
      clock.AdvanceNs(1000);
      loop->Turn(0);
      EXPECT_STREQ(loop->cache().Inconsistency(), nullptr);
      for (int j = 0; j < disk_blocks_a_turn && disk->Work(); ++j) {
      }
    }
  }
  std::shared_ptr<RecordingSink> Run(const std::vector<int32_t>& prompt, int max_tokens,
                                     const std::string& tenant = "a") {
    auto sink = Submit(prompt, max_tokens, tenant);
    for (int i = 0; i < 2000 && !sink->finish(); ++i) Turns(1);
    EXPECT_EQ(sink->finish(), FinishReason::kLength);
    EXPECT_EQ(sink->ids(), model.Expected(prompt, max_tokens));
    return sink;
  }

  std::unique_ptr<kv::DiskCache> disk;
  FakeClock clock;
  FakeModel model;
  FakeTokenizer tokenizer;
  nn::Team team{{.threads = 1, .pin = false}};
  Inbox inbox;
  std::unique_ptr<Loop> loop;
  RequestId last_id = 0;
};

class PrefixDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pelton-prefix-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    folder_ = root_ + "/prefix-cache";
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string root_, folder_;
};

std::vector<int32_t> Prompt(int tokens, int32_t seed = 0) {
  std::vector<int32_t> prompt;
  for (int i = 0; i < tokens; ++i) prompt.push_back((seed * 37 + i * i * 7 + i) % 250);
  return prompt;
}

TEST_F(PrefixDisk, APromptIsFoundAfterARestart) {
  Process(folder_, 64).Run(Prompt(100), 4);
  Process second(folder_, 64);
  EXPECT_EQ(second.Run(Prompt(100), 4)->usage().cached_tokens, 96);
  EXPECT_EQ(second.loop->Stats().computed_tokens, 7u);
  EXPECT_EQ(second.loop->Stats().prefix_loaded_blocks, 6u);
  EXPECT_EQ(second.Run(Prompt(100), 4)->usage().cached_tokens, 96);  // now from memory
  EXPECT_EQ(second.loop->Stats().prefix_loaded_blocks, 6u);
}

TEST_F(PrefixDisk, TenTurnsGoOnAfterARestart) {
  std::vector<int32_t> chat = Prompt(3600);
  uint64_t first = 0;
  for (int turn = 1; turn <= 10; ++turn) {
    Process process(folder_, 400);  // a restart before each
    const auto question = Prompt(25, 50 + turn);
    chat.insert(chat.end(), question.begin(), question.end());
    const auto answer = process.Run(chat, 20)->ids();
    chat.insert(chat.end(), answer.begin(), answer.end());
    const uint64_t prompt_computed = process.loop->Stats().computed_tokens - 19;
    if (turn == 1) first = prompt_computed;
    if (turn > 1) {
      EXPECT_LE(prompt_computed * 5, first) << "turn " << turn;
    }
  }
  EXPECT_EQ(first, 3625u);
}

TEST_F(PrefixDisk, AnswersAreWrittenWhenALaterRequestFindsThem) {
  auto chat = Prompt(40);
  {
    Process process(folder_, 64);
    const auto answer = process.Run(chat, 60)->ids();  // 99 computed: 6 blocks, 2 of the prompt
    EXPECT_EQ(process.disk->Stats().written, 2u);
    chat.insert(chat.end(), answer.begin(), answer.end());
    chat.push_back(1);
    process.Run(chat, 2);
    EXPECT_EQ(process.disk->Stats().written, 6u);
  }
  EXPECT_EQ(Process(folder_, 64).Run(chat, 2)->usage().cached_tokens, 96);
}

TEST_F(PrefixDisk, AnotherTenantOrModelFindsNothing) {
  Process(folder_, 64).Run(Prompt(100), 4, "a");
  EXPECT_EQ(Process(folder_, 64).Run(Prompt(100), 4, "b")->usage().cached_tokens, 0);
  EXPECT_EQ(Process(folder_, 64, "other model").Run(Prompt(100), 4, "a")->usage().cached_tokens, 0);
  EXPECT_EQ(Process(folder_, 64).Run(Prompt(100), 4, "a")->usage().cached_tokens, 96);
}

TEST_F(PrefixDisk, WhatMemoryGaveAwayIsReadAgain) {
  Process process(folder_, 8);
  for (int i = 0; i < 4; ++i) process.Run(Prompt(100, i), 2);
  EXPECT_EQ(process.Run(Prompt(100, 0), 2)->usage().cached_tokens, 96);
  EXPECT_GT(process.loop->Stats().prefix_loaded_blocks, 0u);
  EXPECT_EQ(process.loop->Stats().kv_blocks_used, 0);
}

TEST_F(PrefixDisk, OthersRunWhileOneWaitsForTheDisk) {
  Process(folder_, 64).Run(Prompt(100), 4);
  Process process(folder_, 64);
  auto waits = process.Submit(Prompt(100), 4);
  auto other = process.Submit(Prompt(20, 5), 4);
  process.Turns(6, /*disk_blocks_a_turn=*/0);
  EXPECT_EQ(other->finish(), FinishReason::kLength);
  EXPECT_EQ(waits->tokens().size(), 0u);
  process.Turns(12, 1);
  EXPECT_EQ(waits->ids(), process.model.Expected(Prompt(100), 4));
  EXPECT_EQ(waits->usage().cached_tokens, 96);
}

TEST_F(PrefixDisk, ADiskThatGivesNothingIsWaitedForTwoSecondsOnly) {
  Process(folder_, 64).Run(Prompt(100), 4);
  Process process(folder_, 64);
  auto sink = process.Submit(Prompt(100), 4);
  process.Turns(5, 0);
  EXPECT_EQ(process.loop->Stats().computed_tokens, 0u);
  process.clock.AdvanceNs(2'100'000'000);
  process.Turns(12, 0);
  EXPECT_EQ(sink->ids(), process.model.Expected(Prompt(100), 4));
  EXPECT_EQ(sink->usage().cached_tokens, 0);
}

TEST_F(PrefixDisk, ADamagedBlockIsComputedAndTheTextGoesOn) {
  Process(folder_, 64).Run(Prompt(100), 4);
  for (const auto& file : fs::directory_iterator(folder_ + "/blocks")) {
    if (fs::file_size(file) != 128 + 4 * 48 + 128 + 32) continue;  // the third block
    std::fstream(file.path(), std::ios::in | std::ios::out | std::ios::binary).seekp(400).put('x');
  }
  {
    Process process(folder_, 64);
    EXPECT_EQ(process.Run(Prompt(100), 4)->usage().cached_tokens, 32);
    EXPECT_EQ(process.disk->Stats().damaged, 1u);
  }
  EXPECT_EQ(Process(folder_, 64).Run(Prompt(100), 4)->usage().cached_tokens, 96);  // written again
}

TEST_F(PrefixDisk, CancelledWhileItWaits) {
  Process(folder_, 64).Run(Prompt(100), 4);
  Process process(folder_, 64);
  auto sink = process.Submit(Prompt(100), 4);
  process.Turns(2, 0);
  process.inbox.Cancel(1);
  process.Turns(2);
  EXPECT_EQ(sink->finish(), FinishReason::kCancelled);
  auto ends = process.Submit(Prompt(100), 4);
  process.Turns(1, 0);  // and one that waits when the loop ends
  process.loop.reset();
  while (process.disk->Work()) {
  }
}

TEST_F(PrefixDisk, EqualPromptsWaitForOneRead) {
  Process(folder_, 64).Run(Prompt(100), 4);
  Process process(folder_, 64);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 5; ++i) sinks.push_back(process.Submit(Prompt(100), 4));
  process.Turns(20, 1);
  for (const auto& sink : sinks) EXPECT_EQ(sink->usage().cached_tokens, 96);
  EXPECT_EQ(process.disk->Stats().read, 6u);
}

}  // namespace
}  // namespace pelton::engine
