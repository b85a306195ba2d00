// Every transition of the catalogue, driven by hand: TakeJob, FinishJob, DestroyRetired and Tick are
// what Fleet's threads do.
#include "serving/catalogue.h"

#include <gtest/gtest.h>

#include "backend/sim/sim_backend.h"

namespace pelton::serving {
namespace {

using enum ModelState;
constexpr int64_t kSecondNs = 1'000'000'000;

std::unique_ptr<backend::Backend> Sim() { return backend::MakeSimBackend({}); }

class Waiter final : public LoadWaiter {
 public:
  bool Gone() const override { return gone; }
  size_t bytes() const override { return size; }
  void OnProgress(double) override { ++told; }
  void OnEnd(Result<std::shared_ptr<const Served>> model) override {
    ++ended;
    status = model.ok() ? OkStatus() : model.status();
    if (model.ok()) served = *model;
  }
  bool gone = false;
  size_t size = 1;
  int told = 0, ended = 0;
  Status status;
  std::shared_ptr<const Served> served;
};

// What an operator's call came to.
struct Outcome {
  int calls = 0;
  Status status;
  Catalogue::Done Done() {
    return [this](const Status& s) {
      ++calls;
      status = s;
    };
  }
};

class CatalogueTest : public ::testing::Test {
 protected:
  void Make(std::vector<ModelSource> sources, CatalogueOptions options = {}) {
    auto made = Catalogue::Make(std::move(sources), std::move(options), clock_);
    ASSERT_TRUE(made.ok()) << made.status().message();
    catalogue_ = *std::move(made);
  }
  // Does the next load; true when there was one.
  bool LoadNext(Status outcome = OkStatus()) {
    const auto job = catalogue_->TakeJob();
    if (!job) return false;
    last_path_ = job->path;
    Finish(*job, std::move(outcome));
    return true;
  }
  void Finish(const LoadJob& job, Status outcome = OkStatus()) {
    if (outcome.ok()) catalogue_->FinishJob(job, Sim());
    else catalogue_->FinishJob(job, std::move(outcome));
  }
  void Ready(std::vector<ModelSource> sources, CatalogueOptions options = {}) {
    Make(std::move(sources), std::move(options));
    while (LoadNext()) {}
  }
  ModelState State(std::string_view name = "a") { return catalogue_->View(name)->state; }
  std::shared_ptr<const Served> Use(std::string_view name = "a") {
    auto found = catalogue_->Find(name);
    return found.ok() ? *found : nullptr;
  }

  FakeClock clock_;
  std::unique_ptr<Catalogue> catalogue_;
  std::string last_path_;
};

TEST_F(CatalogueTest, NamesComeFromFlagsOrPaths) {
  EXPECT_EQ(ModelSource::FromFlag("chat=a/b.gguf")->name, "chat");
  EXPECT_EQ(ModelSource::FromFlag("chat=a/b.gguf")->path, "a/b.gguf");
  EXPECT_EQ(ModelSource::FromFlag("sim:?rate=5")->path, "sim:?rate=5");
  EXPECT_EQ(ModelSource::FromFlag("sim:?rate=5")->name, "");
  EXPECT_EQ(ModelSource::FromFlag("x=sim:?rate=5")->name, "x");
  EXPECT_FALSE(ModelSource::FromFlag("x=").ok());
  EXPECT_EQ(NameOfPath("models/Smol LM.gguf"), "Smol_LM");
  EXPECT_EQ(NameOfPath("sim:?rate=5"), "sim");
}

TEST_F(CatalogueTest, DuplicateBadAndMissingModelsAreRefused) {
  EXPECT_FALSE(Catalogue::Make({}).ok());
  EXPECT_FALSE(Catalogue::Make({{"a", "x.gguf"}, {"a", "y.gguf"}}).ok());
  EXPECT_FALSE(Catalogue::Make({{"a b", "x.gguf"}}).ok());
  EXPECT_FALSE(Catalogue::Make({{"a", ""}}).ok());
  EXPECT_TRUE(Catalogue::Make({{std::string(128, 'a'), "x"}}).ok());
  EXPECT_FALSE(Catalogue::Make({{std::string(129, 'a'), "x"}}).ok());
  std::vector<ModelSource> many;
  for (int i = 0; i < 64; ++i) many.push_back({"m" + std::to_string(i), "x"});
  EXPECT_TRUE(Catalogue::Make(many).ok());
  many.push_back({"one-more", "x"});
  EXPECT_FALSE(Catalogue::Make(many).ok());
}

TEST_F(CatalogueTest, FindTellsUnknownFromLoadingFromAmbiguous) {
  Make({{"a", "sim:"}, {"b", "sim:"}});
  EXPECT_EQ(catalogue_->Find("a").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(catalogue_->Find("c").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(catalogue_->Find("").status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(catalogue_->AllReady());
  ASSERT_TRUE(LoadNext());
  EXPECT_FALSE(catalogue_->AllReady());
  ASSERT_TRUE(LoadNext());
  EXPECT_TRUE(catalogue_->AllReady());
  EXPECT_EQ(Use("b")->name, "b");
  Ready({{"only", "sim:"}});
  EXPECT_EQ(Use("")->name, "only");
}

TEST_F(CatalogueTest, TheFirstFailureEndsTheStart) {
  Make({{"a", "x"}, {"b", "y"}});
  Outcome started;
  catalogue_->OnStarted(started.Done());
  EXPECT_EQ(started.calls, 0);
  ASSERT_TRUE(LoadNext(NotFound("no x")));
  EXPECT_EQ(started.calls, 1);
  EXPECT_EQ(started.status.message(), "no x");
  EXPECT_FALSE(catalogue_->TakeJob());
}

TEST_F(CatalogueTest, TheStartIsOverWhenAllButTheOnDemandOnesAreReady) {
  Make({{"a", "x"}, {"b", "y", true}});
  Outcome started;
  catalogue_->OnStarted(started.Done());
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(started.calls, 1);
  EXPECT_TRUE(started.status.ok());
  EXPECT_EQ(State("b"), kUnloaded);
  EXPECT_TRUE(catalogue_->AllReady());
}

// unloaded → loading by a request, and the request that waited gets the model.
TEST_F(CatalogueTest, ARequestLoadsAModelOnDemandAndWaits) {
  Make({{"a", "x", true}});
  auto waiter = std::make_shared<Waiter>();
  auto found = catalogue_->FindOrWait("a", waiter);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, nullptr);
  EXPECT_EQ(State(), kLoading);
  catalogue_->Tick(true);
  EXPECT_EQ(waiter->told, 1);
  catalogue_->Tick(false);
  EXPECT_EQ(waiter->told, 1);
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(State(), kReady);
  catalogue_->Tick(true);
  EXPECT_EQ(waiter->ended, 1);
  EXPECT_EQ(waiter->served->name, "a");
  EXPECT_EQ(waiter->told, 1);
  catalogue_->Tick(true);
  EXPECT_EQ(waiter->ended, 1);
}

// loading → failed: who waits is told without the file's name; the next try comes after a rest.
TEST_F(CatalogueTest, AFailedLoadTellsWhoWaitsAndIsTriedAgainLater) {
  Make({{"a", "secret.gguf", true}});
  auto waiter = std::make_shared<Waiter>();
  ASSERT_TRUE(catalogue_->FindOrWait("a", waiter).ok());
  ASSERT_TRUE(LoadNext(InvalidArgument("secret.gguf: damaged")));
  EXPECT_EQ(State(), kFailed);
  catalogue_->Tick(false);
  EXPECT_EQ(waiter->status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(waiter->status.message().find("secret"), std::string::npos);
  EXPECT_EQ(catalogue_->View("a")->error.message(), "secret.gguf: damaged");
  clock_.AdvanceNs(10 * kSecondNs - 1);
  EXPECT_EQ(catalogue_->Find("a").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(State(), kFailed);
  clock_.AdvanceNs(1);
  EXPECT_FALSE(catalogue_->Find("a").ok());
  EXPECT_EQ(State(), kLoading);
  // failed → loading by an operator needs no rest.
  ASSERT_TRUE(LoadNext(InvalidArgument("still")));
  Outcome load;
  ASSERT_TRUE(catalogue_->Load("a", "", load.Done()).ok());
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(State(), kReady);
  EXPECT_TRUE(load.calls == 1 && load.status.ok());
}

// ready → draining → unloaded; the request that runs keeps the model until it is done.
TEST_F(CatalogueTest, UnloadWaitsForWhoUsesTheModel) {
  Ready({{"a", "x"}});
  auto user = Use();
  Outcome unload;
  ASSERT_TRUE(catalogue_->Unload("a", unload.Done()).ok());
  EXPECT_EQ(State(), kDraining);
  EXPECT_FALSE(catalogue_->NothingRetiring());
  EXPECT_EQ(catalogue_->Find("a").status().code(), StatusCode::kUnavailable);
  catalogue_->DestroyRetired();
  EXPECT_EQ(State(), kDraining);
  EXPECT_EQ(user->backend->facts().kind, "sim");  // still there
  user.reset();
  EXPECT_EQ(unload.calls, 0);
  catalogue_->DestroyRetired();
  EXPECT_EQ(State(), kUnloaded);
  EXPECT_TRUE(unload.calls == 1 && unload.status.ok());
  EXPECT_EQ(catalogue_->View("a")->in_memory, 0);
  EXPECT_TRUE(catalogue_->NothingRetiring());
  // An operator's unload stays: a request does not bring it back.
  EXPECT_FALSE(catalogue_->Find("a").ok());
  EXPECT_EQ(State(), kUnloaded);
  EXPECT_TRUE(catalogue_->AllReady());  // the server as a whole is as ready as before
  ASSERT_TRUE(catalogue_->Unload("a", unload.Done()).ok());  // again is no error
  EXPECT_EQ(unload.calls, 2);
}

TEST_F(CatalogueTest, AnUnloadUntilWantedEndsWithTheNextRequest) {
  Ready({{"a", "x"}});
  Outcome unload;
  ASSERT_TRUE(catalogue_->Unload("a", unload.Done(), /*until_wanted=*/true).ok());
  catalogue_->DestroyRetired();
  EXPECT_EQ(State(), kUnloaded);
  EXPECT_TRUE(unload.calls == 1 && unload.status.ok());
  EXPECT_FALSE(catalogue_->Find("a").ok());
  EXPECT_EQ(State(), kLoading);
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(State(), kReady);
}

// draining → loading: wanted again before the last request was done.
TEST_F(CatalogueTest, LoadWhileDrainingLoadsAfterwards) {
  Ready({{"a", "x"}});
  auto user = Use();
  Outcome unload, load;
  ASSERT_TRUE(catalogue_->Unload("a", unload.Done()).ok());
  ASSERT_TRUE(catalogue_->Load("a", "", load.Done()).ok());
  EXPECT_FALSE(catalogue_->TakeJob());  // not before the memory is back
  user.reset();
  catalogue_->DestroyRetired();
  EXPECT_EQ(State(), kLoading);
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(State(), kReady);
  EXPECT_TRUE(load.calls == 1 && load.status.ok());
  EXPECT_EQ(unload.calls, 1);
  EXPECT_EQ(unload.status.code(), StatusCode::kAborted);
  // … and unloaded once more while that waits.
  user = Use();
  ASSERT_TRUE(catalogue_->Unload("a", {}).ok());
  ASSERT_TRUE(catalogue_->Load("a", "", load.Done()).ok());
  ASSERT_TRUE(catalogue_->Unload("a", {}).ok());
  EXPECT_EQ(load.status.code(), StatusCode::kAborted);
  user.reset();
  catalogue_->DestroyRetired();
  EXPECT_EQ(State(), kUnloaded);
}

TEST_F(CatalogueTest, UnloadWhileLoadingThrowsAwayWhatComes) {
  Make({{"a", "x", true}});
  Outcome load, unload;
  ASSERT_TRUE(catalogue_->Load("a", "", load.Done()).ok());
  auto waiter = std::make_shared<Waiter>();
  ASSERT_TRUE(catalogue_->FindOrWait("a", waiter).ok());
  const auto job = catalogue_->TakeJob();
  ASSERT_TRUE(catalogue_->Unload("a", unload.Done()).ok());
  catalogue_->Tick(false);
  EXPECT_EQ(waiter->status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(State(), kLoading);  // until the load can be let go of
  Finish(*job);
  EXPECT_EQ(State(), kUnloaded);
  EXPECT_EQ(catalogue_->View("a")->in_memory, 0);
  EXPECT_EQ(load.status.code(), StatusCode::kAborted);
  EXPECT_TRUE(unload.calls == 1 && unload.status.ok());
  // Before the load has begun it simply does not.
  ASSERT_TRUE(catalogue_->Load("a", "", load.Done()).ok());
  ASSERT_TRUE(catalogue_->Unload("a", {}).ok());
  EXPECT_EQ(State(), kUnloaded);
  EXPECT_FALSE(catalogue_->TakeJob());
  // And wanted again in time, it is kept.
  ASSERT_TRUE(catalogue_->Load("a", "", {}).ok());
  const auto second = catalogue_->TakeJob();
  ASSERT_TRUE(catalogue_->Unload("a", {}).ok());
  ASSERT_TRUE(catalogue_->Load("a", "", load.Done()).ok());
  Finish(*second);
  EXPECT_EQ(State(), kReady);
  EXPECT_TRUE(load.status.ok());
}

TEST_F(CatalogueTest, TwoLoadsAtOnceAreOne) {
  Make({{"a", "x", true}});
  Outcome first, second, third;
  ASSERT_TRUE(catalogue_->Load("a", "", first.Done()).ok());
  ASSERT_TRUE(catalogue_->Load("a", "x", second.Done()).ok());
  EXPECT_EQ(catalogue_->Load("a", "other.gguf", {}).code(), StatusCode::kAborted);
  ASSERT_TRUE(LoadNext());
  EXPECT_FALSE(LoadNext());
  EXPECT_TRUE(first.calls == 1 && second.calls == 1);
  ASSERT_TRUE(catalogue_->Load("a", "", third.Done()).ok());  // it is there already
  EXPECT_TRUE(third.calls == 1 && third.status.ok());
  EXPECT_EQ(catalogue_->Load("a", "other.gguf", {}).code(), StatusCode::kAborted);
}

// ready → ready: the new file takes over, old requests finish on the old one.
TEST_F(CatalogueTest, SwapRoutesNewRequestsToTheNewFile) {
  Ready({{"a", "old"}});
  auto user = Use();
  Outcome swap;
  ASSERT_TRUE(catalogue_->Swap("a", "new", false, swap.Done()).ok());
  EXPECT_EQ(State(), kReady);
  EXPECT_TRUE(catalogue_->View("a")->swapping);
  EXPECT_EQ(Use()->path, "old");
  EXPECT_EQ(catalogue_->Swap("a", "third", false, {}).code(), StatusCode::kAborted);
  EXPECT_EQ(catalogue_->Load("a", "", {}).code(), StatusCode::kAborted);
  const auto job = catalogue_->TakeJob();
  EXPECT_FALSE(job->may_evict);  // no other model pays for it
  Finish(*job);
  EXPECT_TRUE(swap.calls == 1 && swap.status.ok());
  EXPECT_EQ(Use()->path, "new");
  EXPECT_EQ(user->path, "old");
  EXPECT_EQ(catalogue_->View("a")->in_memory, 2);
  user.reset();
  catalogue_->DestroyRetired();
  EXPECT_EQ(catalogue_->View("a")->in_memory, 1);
  EXPECT_EQ(State(), kReady);
}

TEST_F(CatalogueTest, ADamagedFileLeavesTheOldOneServing) {
  Ready({{"a", "old"}});
  Outcome swap;
  ASSERT_TRUE(catalogue_->Swap("a", "bad", true, swap.Done()).ok());
  ASSERT_TRUE(LoadNext(InvalidArgument("bad: no GGUF file")));
  EXPECT_EQ(swap.status.message(), "bad: no GGUF file");
  EXPECT_EQ(State(), kReady);
  EXPECT_EQ(Use()->path, "old");
  EXPECT_FALSE(catalogue_->TakeJob());
  // Without evict, want of memory too.
  ASSERT_TRUE(catalogue_->Swap("a", "big", false, swap.Done()).ok());
  ASSERT_TRUE(LoadNext(ResourceExhausted("needs 9 MiB")));
  EXPECT_EQ(swap.status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(State(), kReady);
}

TEST_F(CatalogueTest, SwapWithEvictLetsTheOldOneGoFirst) {
  Ready({{"a", "old"}});
  Outcome swap;
  ASSERT_TRUE(catalogue_->Swap("a", "big", true, swap.Done()).ok());
  ASSERT_TRUE(LoadNext(ResourceExhausted("needs 9 MiB")));
  EXPECT_EQ(State(), kDraining);
  auto waiter = std::make_shared<Waiter>();
  ASSERT_TRUE(catalogue_->FindOrWait("a", waiter).ok());  // requests wait meanwhile
  catalogue_->DestroyRetired();
  EXPECT_EQ(State(), kLoading);
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(last_path_, "big");
  EXPECT_TRUE(swap.calls == 1 && swap.status.ok());
  catalogue_->Tick(false);
  EXPECT_EQ(waiter->served->path, "big");
}

TEST_F(CatalogueTest, AnEvictedModelComesBackWhenTheNewOneFails) {
  Ready({{"a", "old"}});
  Outcome swap;
  ASSERT_TRUE(catalogue_->Swap("a", "big", true, swap.Done()).ok());
  ASSERT_TRUE(LoadNext(ResourceExhausted("needs 9 MiB")));
  catalogue_->DestroyRetired();
  ASSERT_TRUE(LoadNext(ResourceExhausted("needs 9 MiB, even so")));
  EXPECT_EQ(swap.status.message(), "needs 9 MiB, even so");
  EXPECT_EQ(State(), kLoading);
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(last_path_, "old");
  EXPECT_EQ(State(), kReady);
  EXPECT_EQ(swap.calls, 1);
}

TEST_F(CatalogueTest, UnloadDuringASwapEndsBoth) {
  Ready({{"a", "old"}});
  Outcome swap, unload;
  ASSERT_TRUE(catalogue_->Swap("a", "new", false, swap.Done()).ok());
  const auto job = catalogue_->TakeJob();
  ASSERT_TRUE(catalogue_->Unload("a", unload.Done()).ok());
  catalogue_->DestroyRetired();
  Finish(*job);
  EXPECT_EQ(swap.status.code(), StatusCode::kAborted);
  EXPECT_EQ(State(), kUnloaded);
  EXPECT_TRUE(unload.calls == 1 && unload.status.ok());
  EXPECT_EQ(catalogue_->View("a")->in_memory, 0);
}

TEST_F(CatalogueTest, SwapOfAModelThatIsNotLoadedLoadsTheNewFile) {
  Make({{"a", "old", true}});
  ASSERT_TRUE(catalogue_->Swap("a", "new", false, {}).ok());
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(Use()->path, "new");
  EXPECT_EQ(catalogue_->Swap("b", "new", false, {}).code(), StatusCode::kNotFound);
}

TEST_F(CatalogueTest, LoadAddsAModelWithAPathUpToTheLimit) {
  Ready({{"a", "x"}});
  EXPECT_EQ(catalogue_->Load("b", "", {}).code(), StatusCode::kNotFound);
  EXPECT_EQ(catalogue_->Load("b c", "y", {}).code(), StatusCode::kNotFound);
  EXPECT_EQ(catalogue_->Load("", "y", {}).code(), StatusCode::kNotFound);
  ASSERT_TRUE(catalogue_->Load("b", "y", {}).ok());
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(Use("b")->path, "y");
  for (size_t i = 2; i < kModelsMax; ++i) {
    ASSERT_TRUE(catalogue_->Load("m" + std::to_string(i), "y", {}).ok());
  }
  EXPECT_EQ(catalogue_->Load("one-more", "y", {}).code(), StatusCode::kAborted);
}

TEST_F(CatalogueTest, IdleModelsLeaveAndTheNextRequestBringsThemBack) {
  Ready({{"a", "x"}}, {.idle_unload_s = 10});
  auto user = Use();
  clock_.AdvanceNs(100 * kSecondNs);
  catalogue_->Tick(false);
  EXPECT_EQ(State(), kReady);  // in use
  user.reset();
  clock_.AdvanceNs(10 * kSecondNs - 1);
  catalogue_->Tick(false);
  EXPECT_EQ(State(), kReady);
  clock_.AdvanceNs(1);
  catalogue_->Tick(false);
  EXPECT_EQ(State(), kDraining);
  catalogue_->DestroyRetired();
  EXPECT_EQ(State(), kUnloaded);
  auto waiter = std::make_shared<Waiter>();
  ASSERT_TRUE(catalogue_->FindOrWait("a", waiter).ok());
  ASSERT_TRUE(LoadNext());
  EXPECT_EQ(State(), kReady);
}

TEST_F(CatalogueTest, TheLeastRecentlyUsedIdleModelMakesRoom) {
  Ready({{"a", "x"}, {"b", "y"}, {"c", "z"}, {"d", "w", true}});
  clock_.AdvanceNs(kSecondNs);
  const auto busy = Use("a");  // oldest by name, but in use
  clock_.AdvanceNs(kSecondNs);
  Use("b");
  EXPECT_FALSE(catalogue_->Find("d").ok());
  const auto job = catalogue_->TakeJob();
  ASSERT_TRUE(job->may_evict);
  EXPECT_TRUE(catalogue_->EvictIdle(*job));
  EXPECT_EQ(State("c"), kDraining);
  EXPECT_TRUE(catalogue_->EvictIdle(*job));
  EXPECT_EQ(State("b"), kDraining);
  EXPECT_FALSE(catalogue_->EvictIdle(*job));  // a is in use, d is the one that loads
  catalogue_->DestroyRetired();
  Finish(*job);
  EXPECT_EQ(State("d"), kReady);
  EXPECT_EQ(State("b"), kUnloaded);
  EXPECT_FALSE(catalogue_->Find("b").ok());
  EXPECT_EQ(State("b"), kLoading);  // comes back on demand
}

TEST_F(CatalogueTest, NothingIsEvictedWhileStarting) {
  Make({{"a", "x"}, {"b", "y"}});
  ASSERT_TRUE(LoadNext());
  const auto job = catalogue_->TakeJob();
  EXPECT_FALSE(job->may_evict);
  EXPECT_FALSE(catalogue_->EvictIdle(*job));
  EXPECT_EQ(State("a"), kReady);
}

TEST_F(CatalogueTest, WaitingIsBoundedInNumberBytesAndTime) {
  Make({{"a", "x", true}}, {.load_wait_s = 5, .load_waiting_max = 2});
  auto first = std::make_shared<Waiter>();
  auto gone = std::make_shared<Waiter>();
  ASSERT_TRUE(catalogue_->FindOrWait("a", first).ok());
  ASSERT_TRUE(catalogue_->FindOrWait("a", gone).ok());
  EXPECT_EQ(catalogue_->FindOrWait("a", std::make_shared<Waiter>()).status().code(),
            StatusCode::kUnavailable);
  gone->gone = true;
  catalogue_->Tick(false);  // its place is free, and it hears nothing
  EXPECT_EQ(gone->ended, 0);
  auto large = std::make_shared<Waiter>();
  large->size = kLoadWaitingBytesMax;  // one byte more than is left
  EXPECT_FALSE(catalogue_->FindOrWait("a", large).ok());
  large->size = kLoadWaitingBytesMax - 1;
  EXPECT_TRUE(catalogue_->FindOrWait("a", large).ok());
  clock_.AdvanceNs(5 * kSecondNs - 1);
  catalogue_->Tick(false);
  EXPECT_EQ(first->ended, 0);
  clock_.AdvanceNs(1);
  catalogue_->Tick(false);
  EXPECT_EQ(first->status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(first->status.retry_after_ms());
  EXPECT_EQ(catalogue_->View("a")->waiting, 0);
}

TEST_F(CatalogueTest, ClosingRefusesWhatWaitsAndReachesModelsThatBecomeReadyLater) {
  Make({{"a", "x", true}, {"b", "y", true}});
  auto waiter = std::make_shared<Waiter>();
  ASSERT_TRUE(catalogue_->FindOrWait("a", waiter).ok());
  Outcome load;
  ASSERT_TRUE(catalogue_->Load("b", "", load.Done()).ok());
  const auto job = catalogue_->TakeJob();
  catalogue_->CloseIntake();
  EXPECT_EQ(load.status.code(), StatusCode::kUnavailable);
  catalogue_->Tick(false);
  EXPECT_EQ(waiter->status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(catalogue_->Loading());
  Finish(*job);
  EXPECT_FALSE(catalogue_->Loading());
  EXPECT_FALSE(catalogue_->TakeJob());
  EXPECT_EQ(State("a"), kUnloaded);  // nobody wants it now
  EXPECT_EQ(catalogue_->Load("a", "", {}).code(), StatusCode::kUnavailable);
  EXPECT_EQ(catalogue_->Swap("a", "z", false, {}).code(), StatusCode::kUnavailable);
  EXPECT_FALSE(catalogue_->Find("a").ok());
}

TEST_F(CatalogueTest, ClosingClosesTheIntakeOfReadyModels) {
  Ready({{"a", "x"}});
  const auto user = Use();
  catalogue_->CloseIntake();
  backend::SequenceRequest request;
  request.prompt = {1};
  EXPECT_EQ(user->backend->Submit(1, request, nullptr).code(), StatusCode::kUnavailable);
}

TEST_F(CatalogueTest, CountersGoOnOverASwap) {
  struct Counting final : backend::Backend {
    explicit Counting(uint64_t count) : sim(Sim()), steps(count) {}
    const backend::Facts& facts() const override { return sim->facts(); }
    Result<std::vector<backend::TokenId>> ChatTokens(const backend::ChatPrompt& p) const override {
      return sim->ChatTokens(p);
    }
    Result<std::vector<backend::TokenId>> Tokenize(
        std::string_view t, const backend::TokenizeOptions& o) const override {
      return sim->Tokenize(t, o);
    }
    std::string Detokenize(std::span<const backend::TokenId> i, bool s) const override {
      return sim->Detokenize(i, s);
    }
    std::string TokenPiece(backend::TokenId id) const override { return sim->TokenPiece(id); }
    backend::RequestId NextRequestId() override { return 1; }
    Status Submit(backend::RequestId, backend::SequenceRequest,
                  std::shared_ptr<backend::DeltaSink>) override {
      return OkStatus();
    }
    void Cancel(backend::RequestId) override {}
    void Resume(backend::RequestId) override {}
    backend::Stats GetStats() const override {
      backend::Stats stats;
      stats.steps = steps;
      return stats;
    }
    void CloseIntake() override {}
    std::unique_ptr<backend::Backend> sim;
    uint64_t steps;
  };
  Make({{"a", "x"}});
  auto first = std::make_unique<Counting>(100);
  Counting& old = *first;
  catalogue_->FinishJob(*catalogue_->TakeJob(), std::unique_ptr<backend::Backend>(std::move(first)));
  auto user = Use();
  ASSERT_TRUE(catalogue_->Swap("a", "y", false, {}).ok());
  catalogue_->FinishJob(*catalogue_->TakeJob(),
                        std::unique_ptr<backend::Backend>(std::make_unique<Counting>(5)));
  EXPECT_EQ(catalogue_->StatsOf("a").steps, 105u);
  old.steps = 130;  // its last request goes on
  user.reset();
  catalogue_->DestroyRetired();
  EXPECT_EQ(catalogue_->StatsOf("a").steps, 135u);
  ASSERT_TRUE(catalogue_->Unload("a", {}).ok());
  catalogue_->DestroyRetired();
  EXPECT_EQ(catalogue_->StatsOf("a").steps, 135u);
}

}  // namespace
}  // namespace pelton::serving
