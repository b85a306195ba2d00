#include "engine/scheduler.h"

#include <gtest/gtest.h>

namespace pelton::engine {
namespace {

constexpr SchedulerLimits kLimits{
    .step_tokens = 64, .prefill_chunk = 32, .max_running = 4, .block_tokens = 16};

SequenceView Waiting(int tokens, int priority = 0) {
  SequenceView v;
  v.tokens = tokens;
  v.priority = priority;
  return v;
}

// `tokens` known, all but the last in the cache.
SequenceView Decoding(int tokens, int priority = 0) {
  SequenceView v;
  v.tokens = tokens;
  v.computed = tokens - 1;
  v.blocks = (v.computed + 15) / 16;
  v.priority = priority;
  v.running = v.started = true;
  return v;
}

SequenceView Prefilling(int tokens, int computed, int priority = 0) {
  SequenceView v = Decoding(computed + 1, priority);
  v.tokens = tokens;
  return v;
}

SequenceView Paused(SequenceView v) {
  v.paused = true;
  return v;
}

SequenceView Stalled(SequenceView v) {
  v.paused = v.stalled = true;
  return v;
}

Plan PlanOf(const std::vector<SequenceView>& views, int free_blocks,
            SchedulerLimits limits = kLimits, int64_t now_ns = 0) {
  Plan plan;
  plan.work.push_back({9, 9, 9});  // left-overs must vanish
  MakePlan({.sequences = views, .free_blocks = free_blocks, .now_ns = now_ns, .limits = limits},
           &plan);
  return plan;
}

// "index:rows+blocks …" in order of work, then "!preempted", then "x expired".
std::string Text(const Plan& plan) {
  std::string text;
  const auto add = [&](const std::string& s) { text += (text.empty() ? "" : " ") + s; };
  for (const Plan::Work& w : plan.work) {
    add(std::to_string(w.sequence) + ":" + std::to_string(w.rows) + "+" +
        std::to_string(w.new_blocks));
  }
  for (const int i : plan.preempted) add("!" + std::to_string(i));
  for (const int i : plan.expired) add("x" + std::to_string(i));
  return text;
}

TEST(Scheduler, NothingToDoIsAnEmptyPlan) {
  EXPECT_EQ(Text(PlanOf({}, 10)), "");
  EXPECT_EQ(Text(PlanOf({Paused(Decoding(5))}, 10)), "");
}

TEST(Scheduler, DecodesFirstThenPromptsWithinTheBudget) {
  // 64 rows: two decodes, a chunk of 32, then what is left for the new one.
  EXPECT_EQ(Text(PlanOf({Decoding(20), Prefilling(100, 32), Decoding(30), Waiting(50)}, 20)),
            "0:1+0 2:1+0 1:32+2 3:30+2");
}

TEST(Scheduler, ADecodeTakesABlockAtItsBorderOnly) {
  EXPECT_EQ(Text(PlanOf({Decoding(16)}, 5)), "0:1+0");
  EXPECT_EQ(Text(PlanOf({Decoding(17)}, 5)), "0:1+1");
  EXPECT_EQ(Text(PlanOf({Decoding(18)}, 5)), "0:1+0");
}

TEST(Scheduler, APromptIsCutIntoChunks) {
  EXPECT_EQ(Text(PlanOf({Waiting(33)}, 5)), "0:32+2");
  EXPECT_EQ(Text(PlanOf({Prefilling(33, 32)}, 5)), "0:1+1");
  EXPECT_EQ(Text(PlanOf({Waiting(32)}, 5)), "0:32+2");
}

TEST(Scheduler, AFirstPromptProgressesBesideFullDecodes) {
  SchedulerLimits limits = kLimits;
  limits.step_tokens = 3;
  limits.max_running = 3;
  // The prompt has the highest rank: the third decode waits a step.
  EXPECT_EQ(Text(PlanOf({Prefilling(40, 16), Decoding(5), Decoding(5), Decoding(5)}, 9, limits)),
            "1:1+0 2:1+0 0:1+1");
}

TEST(Scheduler, RunsAtMostMaxRunning) {
  EXPECT_EQ(Text(PlanOf({Waiting(3), Waiting(3), Waiting(3), Waiting(3), Waiting(3)}, 20)),
            "0:3+1 1:3+1 2:3+1 3:3+1");
  // Paused ones do not count, resumed ones above the limit wait in order of rank.
  EXPECT_EQ(Text(PlanOf({Paused(Decoding(5)), Decoding(5), Decoding(5), Decoding(5), Waiting(3)},
                        20)),
            "1:1+0 2:1+0 3:1+0 4:3+1");
  EXPECT_EQ(Text(PlanOf({Decoding(5), Decoding(5), Decoding(5), Decoding(5), Decoding(5)}, 20)),
            "0:1+0 1:1+0 2:1+0 3:1+0");
}

TEST(Scheduler, AdmissionWantsRoomForTheWholePromptAndGrowth) {
  // 33 tokens and the next one: 3 blocks, and 1 for the running one to grow.
  EXPECT_EQ(Text(PlanOf({Decoding(5), Waiting(33)}, 3)), "0:1+0");
  EXPECT_EQ(Text(PlanOf({Decoding(5), Waiting(33)}, 4)), "0:1+0 1:32+2");
  // Alone it needs no such margin.
  EXPECT_EQ(Text(PlanOf({Waiting(33)}, 3)), "0:32+2");
}

TEST(Scheduler, NobodyOvertakesTheHeadOfTheQueue) {
  EXPECT_EQ(Text(PlanOf({Decoding(5), Waiting(60), Waiting(2)}, 3)), "0:1+0");
}

TEST(Scheduler, PreemptsTheLowestRankWhenBlocksRunOut) {
  EXPECT_EQ(Text(PlanOf({Decoding(17), Decoding(20), Decoding(20)}, 0)), "0:1+1 1:1+0 !2");
}

TEST(Scheduler, ALowestRankWithoutBlocksWaits) {
  EXPECT_EQ(Text(PlanOf({Decoding(20), Decoding(17)}, 0)), "0:1+0");
}

TEST(Scheduler, StalledSequencesGiveWayFirstWhateverTheirRank) {
  EXPECT_EQ(Text(PlanOf({Stalled(Decoding(20, 5)), Decoding(17), Decoding(20)}, 0)),
            "1:1+1 2:1+0 !0");
  // Merely paused ones after those of lower rank.
  EXPECT_EQ(Text(PlanOf({Paused(Decoding(20, 5)), Decoding(17), Decoding(20)}, 0)), "1:1+1 !2");
  EXPECT_EQ(Text(PlanOf({Paused(Decoding(20, 5)), Decoding(17)}, 0)), "1:1+1 !0");
}

TEST(Scheduler, TheQueueTakesBlocksOfStalledButNotOfPausedSequences) {
  EXPECT_EQ(Text(PlanOf({Stalled(Decoding(40)), Waiting(30)}, 0)), "1:30+2 !0");
  EXPECT_EQ(Text(PlanOf({Paused(Decoding(40)), Waiting(30)}, 0)), "");
}

TEST(Scheduler, APromptShrinksToTheBlocksThatAreLeftBeforeItPreempts) {
  EXPECT_EQ(Text(PlanOf({Prefilling(80, 16), Decoding(20)}, 1)), "1:1+0 0:16+1");
  // With none left the decode that was planned already gives its work back too.
  EXPECT_EQ(Text(PlanOf({Prefilling(80, 16), Decoding(20)}, 0)), "0:32+2 !1");
}

TEST(Scheduler, NobodyOvertakesASequencePreemptedInTheSamePlan) {
  // 2 gives four blocks back, of which 0 takes one; 3 would fit into the rest.
  EXPECT_EQ(Text(PlanOf({Decoding(17), Decoding(20), Decoding(60), Waiting(2)}, 0)),
            "0:1+1 1:1+0 !2");
}

TEST(Scheduler, HigherPriorityTakesThePlaceOfLower) {
  SchedulerLimits limits = kLimits;
  limits.max_running = 2;
  EXPECT_EQ(Text(PlanOf({Waiting(5, 1), Decoding(5), Decoding(5)}, 9, limits)),
            "1:1+0 0:5+1 !2");
  // Equal priority never does.
  EXPECT_EQ(Text(PlanOf({Waiting(5), Decoding(5), Decoding(5)}, 9, limits)), "1:1+0 2:1+0");
}

TEST(Scheduler, HigherPriorityTakesTheRowsOfLower) {
  SchedulerLimits limits = kLimits;
  limits.step_tokens = 4;  // all of them taken by decodes
  EXPECT_EQ(Text(PlanOf({Waiting(5, 1), Decoding(5), Decoding(5), Decoding(5), Decoding(5)}, 9,
                        limits)),
            "1:1+0 2:1+0 3:1+0 0:1+1 !4");
}

TEST(Scheduler, HigherPriorityTakesBlocksOfLowerButNothingInVain) {
  EXPECT_EQ(Text(PlanOf({Waiting(30, 1), Decoding(40)}, 0)), "0:30+2 !1");
  // 1 stays and wants growth: the two blocks of 2 would not be enough.
  EXPECT_EQ(Text(PlanOf({Waiting(30, 1), Decoding(40, 1), Decoding(20)}, 0)), "1:1+0 2:1+0");
}

TEST(Scheduler, DropsQueuedWorkPastItsDeadline) {
  SequenceView queued = Waiting(5);
  queued.deadline_ns = 100;
  SequenceView running = Decoding(5);
  running.deadline_ns = 50;
  SequenceView preempted = Waiting(5);
  preempted.deadline_ns = 50;
  preempted.started = true;
  const std::vector<SequenceView> views = {running, queued, preempted, Waiting(4)};
  EXPECT_EQ(Text(PlanOf(views, 20, kLimits, 99)), "0:1+0 1:5+1 2:5+1 3:4+1");
  EXPECT_EQ(Text(PlanOf(views, 20, kLimits, 100)), "0:1+0 2:5+1 3:4+1 x1");
}

Plan PacedPlanOf(const std::vector<SequenceView>& views, int prompt_rows) {
  Plan plan;
  MakePlan({.sequences = views, .free_blocks = 50, .prompt_rows = prompt_rows, .limits = kLimits},
           &plan);
  return plan;
}

TEST(Scheduler, BesideDecodingRowsPromptsGetTheRowsThatArePaced) {
  EXPECT_EQ(Text(PacedPlanOf({Decoding(5), Prefilling(100, 16)}, 10)), "0:1+0 1:10+1");
  // In rank order; the queue waits when nothing is left.
  EXPECT_EQ(Text(PacedPlanOf({Decoding(5), Prefilling(24, 16), Waiting(50)}, 10)),
            "0:1+0 1:8+1 2:2+1");
  const Plan full = PacedPlanOf({Decoding(5), Prefilling(100, 16), Waiting(50)}, 10);
  EXPECT_EQ(Text(full), "0:1+0 1:10+1");
  EXPECT_EQ(full.queue_wait, QueueWait::kRows);
}

TEST(Scheduler, WithoutDecodingRowsPromptsTakeWholeChunks) {
  EXPECT_EQ(Text(PacedPlanOf({Prefilling(100, 16), Waiting(50)}, 10)), "0:32+2 1:32+2");
  // A paused stream does not feel a long step.
  EXPECT_EQ(Text(PacedPlanOf({Paused(Decoding(5)), Prefilling(100, 16)}, 10)), "1:32+2");
}

TEST(Scheduler, ANewPromptOfHigherRankIsComputedBeforeAHalfDoneOne) {
  EXPECT_EQ(Text(PacedPlanOf({Decoding(5), Waiting(20), Prefilling(100, 16)}, 24)),
            "0:1+0 1:20+2 2:4+1");
}

TEST(Scheduler, SaysWhatTheQueueWaitsFor) {
  EXPECT_EQ(PlanOf({Decoding(5)}, 9).queue_wait, QueueWait::kNothing);
  EXPECT_EQ(PlanOf({Decoding(5), Waiting(60)}, 3).queue_wait, QueueWait::kBlocks);
  EXPECT_EQ(PlanOf({Decoding(5), Decoding(5), Decoding(5), Decoding(5), Waiting(3)}, 9).queue_wait,
            QueueWait::kPlaces);
}

// Tenants by number, one after another; two of equal weight unless said otherwise.
SequenceView Of(int tenant, SequenceView v, bool settled = true) {
  v.tenant = tenant;
  v.settled = settled;
  return v;
}

std::string FairPlan(const std::vector<SequenceView>& views, int free_blocks,
                     std::vector<TenantView> tenants = {{1}, {1}}) {
  Plan plan;
  MakePlan({.sequences = views, .tenants = tenants, .free_blocks = free_blocks, .limits = kLimits},
           &plan);
  return Text(plan);
}

TEST(Scheduler, ATenantBeyondItsShareYieldsPlaces) {
  const SequenceView greedy = Of(0, Decoding(5));
  EXPECT_EQ(FairPlan({Of(1, Waiting(5)), greedy, greedy, greedy, greedy}, 20),
            "1:1+0 2:1+0 3:1+0 0:5+1 !4");
  // Two places each: the third is not asked for.
  EXPECT_EQ(FairPlan({Of(1, Waiting(5)), Of(1, Decoding(5)), Of(1, Decoding(5)), greedy, greedy},
                     20),
            "1:1+0 2:1+0 3:1+0 4:1+0");
  // With a weight of 3 it is.
  EXPECT_EQ(FairPlan({Of(1, Waiting(5)), Of(1, Decoding(5)), Of(1, Decoding(5)), greedy, greedy},
                     20, {{1}, {3}}),
            "1:1+0 2:1+0 3:1+0 0:5+1 !4");
}

TEST(Scheduler, ATenantBeyondItsShareYieldsBlocks) {
  // Six blocks in all, of which the greedy tenant holds five.
  EXPECT_EQ(FairPlan({Of(1, Waiting(20)), Of(0, Decoding(40)), Of(0, Decoding(30))}, 1),
            "1:1+0 0:20+2 !2");
  // What wants more than half of them waits like anybody else.
  EXPECT_EQ(FairPlan({Of(1, Waiting(50)), Of(0, Decoding(40)), Of(0, Decoding(30))}, 1),
            "1:1+0 2:1+0");
}

TEST(Scheduler, ReservedPlacesAreLeftToOtherTenants) {
  const auto plan = [](const std::vector<SequenceView>& views) {
    const std::vector<TenantView> tenants = {{1}, {1}};
    Plan plan;
    MakePlan({.sequences = views, .tenants = tenants, .free_blocks = 50, .reserved_places = 1,
              .limits = kLimits},
             &plan);
    return plan;
  };
  const SequenceView greedy = Of(0, Decoding(5));
  const Plan kept = plan({greedy, greedy, greedy, Of(0, Waiting(5))});
  EXPECT_EQ(Text(kept), "0:1+0 1:1+0 2:1+0");
  EXPECT_EQ(kept.queue_wait, QueueWait::kPlaces);
  EXPECT_EQ(Text(plan({Of(1, Waiting(5)), greedy, greedy, greedy})), "1:1+0 2:1+0 3:1+0 0:5+1");
  EXPECT_EQ(Text(plan({greedy, greedy, Of(0, Waiting(5))})), "0:1+0 1:1+0 2:5+1");
}

TEST(Scheduler, NobodyYieldsToItsOwnTenantOrALowerRankOrBeforeItHasSettled) {
  const SequenceView greedy = Of(0, Decoding(5));
  const SequenceView fresh = Of(0, Decoding(5), false);
  EXPECT_EQ(FairPlan({Of(0, Waiting(5)), greedy, greedy, greedy, greedy}, 20),
            "1:1+0 2:1+0 3:1+0 4:1+0");
  EXPECT_EQ(FairPlan({greedy, greedy, greedy, greedy, Of(1, Waiting(5))}, 20),
            "0:1+0 1:1+0 2:1+0 3:1+0");
  EXPECT_EQ(FairPlan({Of(1, Waiting(5)), greedy, greedy, greedy, fresh}, 20),
            "1:1+0 2:1+0 4:1+0 0:5+1 !3");
  EXPECT_EQ(FairPlan({Of(1, Waiting(5)), fresh, fresh, fresh, fresh}, 20),
            "1:1+0 2:1+0 3:1+0 4:1+0");
}

TEST(Scheduler, SkipsWaitingSequencesThatArePaused) {
  EXPECT_EQ(Text(PlanOf({Paused(Waiting(5)), Waiting(6)}, 9)), "1:6+1");
}

}  // namespace
}  // namespace pelton::engine
