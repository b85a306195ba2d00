// The threads around the catalogue; run under TSan too.
#include "serving/fleet.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "backend/sim/sim_backend.h"

namespace pelton::serving {
namespace {

class Waiter final : public LoadWaiter {
 public:
  explicit Waiter(std::atomic<int>* ended) : ended_(ended) {}
  bool Gone() const override { return false; }
  size_t bytes() const override { return 1; }
  void OnProgress(double) override { EXPECT_FALSE(done_); }
  void OnEnd(Result<std::shared_ptr<const Served>> model) override {
    EXPECT_FALSE(done_);
    EXPECT_TRUE(model.ok());
    done_ = true;
    ended_->fetch_add(1);
  }

 private:
  std::atomic<int>* ended_;
  bool done_ = false;
};

bool WaitUntil(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

Result<std::unique_ptr<backend::Backend>> OpenSim(const LoadJob& job) {
  job.progress->total_bytes.store(2);
  job.progress->done_bytes.store(1);
  return backend::MakeSimBackend({});
}

TEST(Fleet, ARequestThatWaitsIsServedAndTheOperatorIsAnswered) {
  auto catalogue = *Catalogue::Make({{"a", "x", true}});
  std::atomic<int> loaded{0};
  Fleet fleet(*catalogue, OpenSim, [&](const std::string&) { ++loaded; });
  std::atomic<int> ended{0};
  ASSERT_TRUE(catalogue->FindOrWait("a", std::make_shared<Waiter>(&ended)).ok());
  EXPECT_TRUE(WaitUntil([&] { return ended.load() == 1; }));
  std::atomic<int> answered{0};
  ASSERT_TRUE(catalogue->Unload("a", [&](const Status& s) { answered += s.ok() ? 1 : 100; }).ok());
  EXPECT_TRUE(WaitUntil([&] { return answered.load() == 1; }));
  EXPECT_EQ(loaded.load(), 1);
}

TEST(Fleet, WantOfMemoryMakesAnIdleModelLeaveAndTriesAgain) {
  auto catalogue = *Catalogue::Make({{"a", "x"}, {"b", "y", true}});
  // Room for one: asked through the catalogue's own account of instances.
  Fleet fleet(
      *catalogue,
      [&](const LoadJob& job) -> Result<std::unique_ptr<backend::Backend>> {
        int held = 0;
        for (const ModelView& view : catalogue->Views()) held += view.in_memory;
        if (held > 0) return ResourceExhausted("full");
        return OpenSim(job);
      },
      {});
  ASSERT_TRUE(WaitUntil([&] { return catalogue->AllReady(); }));
  std::atomic<int> ended{0};
  ASSERT_TRUE(catalogue->FindOrWait("b", std::make_shared<Waiter>(&ended)).ok());
  EXPECT_TRUE(WaitUntil([&] { return ended.load() == 1; }));
  EXPECT_EQ(catalogue->View("a")->state, ModelState::kUnloaded);
}

// Requests from several threads while operators load, swap and unload: each gets a model or a clean
// refusal, every instance is ended once, and nothing hangs.
TEST(Fleet, ManyAtOnce) {
  auto catalogue = *Catalogue::Make({{"a", "x", true}, {"b", "y", true}}, {.idle_unload_s = 0.001});
  {
    Fleet fleet(*catalogue, OpenSim, {});
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 150; ++i) {
          const char* name = (i + t) % 2 == 0 ? "a" : "b";
          if (const auto found = catalogue->Find(name); found.ok()) {
            EXPECT_EQ((*found)->backend->facts().kind, "sim");
            std::this_thread::yield();
          }
        }
      });
    }
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        (void)catalogue->Load("a", "", {});
        (void)catalogue->Swap("a", i % 2 == 0 ? "x" : "z", i % 3 == 0, {});
        if (i % 5 == 0) (void)catalogue->Unload("a", {});
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      (void)catalogue->Load("a", "", {});
    });
    threads.clear();
    EXPECT_TRUE(WaitUntil([&] { return catalogue->NothingRetiring() && !catalogue->Loading(); }));
  }
  int held = 0;
  for (const ModelView& view : catalogue->Views()) held += view.in_memory;
  EXPECT_LE(held, 2);
}

}  // namespace
}  // namespace pelton::serving
