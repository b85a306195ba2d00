#include "engine/scheduler.h"

#include <algorithm>

namespace pelton::engine {

namespace {

class Planner {
 public:
  Planner(const SchedulerInput& input, Plan* plan)
      : views_(input.sequences), limits_(input.limits), holders_before_(input.holders),
        now_ns_(input.now_ns), plan_(*plan), free_(input.free_blocks),
        rows_left_(input.limits.step_tokens) {
    plan_.expired.clear();
    plan_.preempted.clear();
    plan_.work.clear();
    plan_.holders.clear();
    plan_.slots.assign(views_.size(), {});
    for (int i = 0; i < Count(); ++i) {
      Slot(i).blocks = View(i).blocks;
      Slot(i).running = View(i).running;
    }
  }

  void Run() {
    Expire();
    const bool first_is_prefilling = FirstIsPrefilling();
    PlanDecodes(/*reserved=*/first_is_prefilling ? 1 : 0);
    PlanPrefills();
    AdmitWaiting();
    DropCancelledWork();
  }

 private:
  int Count() const { return static_cast<int>(views_.size()); }
  const SequenceView& View(int i) const { return views_[static_cast<size_t>(i)]; }
  Plan::Slot& Slot(int i) { return plan_.slots[static_cast<size_t>(i)]; }
  // With what the cache has of a waiting one, which lies in front of all that it computes.
  int Computed(int i) const { return View(i).computed + View(i).found * limits_.block_tokens; }
  int Pending(int i) const { return View(i).tokens - Computed(i); }
  int BlocksFor(int tokens) const {
    return (tokens + limits_.block_tokens - 1) / limits_.block_tokens;
  }
  bool Steps(int i) { return Slot(i).running && !View(i).paused; }

  void Expire() {
    for (int i = 0; i < Count(); ++i) {
      const SequenceView& view = View(i);
      if (view.running || view.started || view.deadline_ns == 0) continue;
      if (now_ns_ < view.deadline_ns) continue;
      plan_.expired.push_back(i);
      Slot(i).out = true;
    }
  }

  // Whether the running sequence of highest rank has a prompt to compute: then the decoding ones
  // leave it one row and one place, so that it progresses in every step.
  bool FirstIsPrefilling() {
    for (int i = 0; i < Count(); ++i) {
      if (Steps(i)) return Pending(i) > 1;
    }
    return false;
  }

  void PlanDecodes(int reserved) {
    for (int i = 0; i < Count(); ++i) {
      if (rows_left_ <= reserved || items_ >= limits_.max_running - reserved) return;
      if (Steps(i) && Pending(i) == 1) GiveRows(i);
    }
  }

  void PlanPrefills() {
    for (int i = 0; i < Count(); ++i) {
      if (rows_left_ <= 0 || items_ >= limits_.max_running) return;
      if (Steps(i) && Pending(i) > 1) GiveRows(i);
    }
  }

  // Plans as many rows of `i` as budget, chunk and blocks allow; preempts others only when not even
  // one row would fit.
  void GiveRows(int i) {
    const int computed = Computed(i);
    if (computed == Slot(i).blocks * limits_.block_tokens && !MakeRoom(i, 1)) return;
    const int room = (Slot(i).blocks + free_) * limits_.block_tokens - computed;
    const int rows = std::min({Pending(i), limits_.prefill_chunk, rows_left_, room});
    const int new_blocks = std::max(0, BlocksFor(computed + rows) - Slot(i).blocks);
    Slot(i).work = static_cast<int>(plan_.work.size());
    Slot(i).blocks += new_blocks;
    plan_.work.push_back({.sequence = i, .rows = rows, .new_blocks = new_blocks});
    free_ -= new_blocks;
    rows_left_ -= rows;
    ++items_;
  }

  // True when `blocks` are free, if need be at the cost of sequences that rank below `i`.
  bool MakeRoom(int i, int blocks) {
    while (free_ < blocks) {
      const int victim = PickVictim(i);
      if (victim < 0) return false;
      Preempt(victim);
    }
    return true;
  }

  int PickVictim(int i) {
    const auto holds = [&](int v) { return v != i && Slot(v).running && Slot(v).blocks > 0; };
    for (int v = Count() - 1; v >= 0; --v) {
      if (holds(v) && View(v).stalled) return v;
    }
    for (int v = Count() - 1; v > i; --v) {
      if (holds(v)) return v;
    }
    for (int v = i - 1; v >= 0; --v) {
      if (holds(v) && View(v).paused) return v;
    }
    return -1;
  }

  void Preempt(int v) {
    Plan::Slot& slot = Slot(v);
    if (slot.work >= 0) {
      Plan::Work& work = plan_.work[static_cast<size_t>(slot.work)];
      rows_left_ += work.rows;
      work.rows = 0;  // dropped at the end
      --items_;
      slot.work = -1;
    }
    free_ += Freed(v, &plan_.holders);
    slot = {.running = false, .out = true};
    plan_.preempted.push_back(v);
  }

  std::vector<int32_t>& Copied(std::vector<int32_t>* holders) {
    if (holders->empty()) holders->assign(holders_before_.begin(), holders_before_.end());
    return *holders;
  }

  // How many blocks are free when `v` lets go of its own; *holders is brought up to date.
  int Freed(int v, std::vector<int32_t>* holders) {
    if (holders_before_.empty()) return Slot(v).blocks;
    const auto ids = View(v).block_ids;
    int freed = Slot(v).blocks - static_cast<int>(ids.size());  // given out by this plan
    for (const int32_t id : ids) {
      if (--Copied(holders)[static_cast<size_t>(id)] == 0) ++freed;
    }
    return freed;
  }

  // Free blocks that waiting `i` takes for its prompt and a first token: those of its prefix that
  // others hold cost nothing.
  int Need(int i, std::span<const int32_t> holders) const {
    int need = BlocksFor(View(i).tokens + 1);
    for (const int32_t id : View(i).block_ids) need -= holders[static_cast<size_t>(id)] > 0 ? 1 : 0;
    return need;
  }
  int Need(int i) const {
    return Need(i, plan_.holders.empty() ? holders_before_ : std::span<const int32_t>(plan_.holders));
  }

  void TakeFound(int i) {
    for (const int32_t id : View(i).block_ids) {
      if (Copied(&plan_.holders)[static_cast<size_t>(id)]++ == 0) --free_;
    }
    Slot(i).blocks = View(i).found;
  }

  // Blocks that running sequences will want soon: the rest of their prompts and one of growth each.
  int Promised() {
    int blocks = 0;
    for (int i = 0; i < Count(); ++i) {
      if (Steps(i)) blocks += std::max(0, BlocksFor(View(i).tokens) - Slot(i).blocks) + 1;
    }
    return blocks;
  }

  int Running() {
    int running = 0;
    for (int i = 0; i < Count(); ++i) running += Steps(i) ? 1 : 0;
    return running;
  }

  void AdmitWaiting() {
    int promised = -1;  // computed when the first candidate is met
    int running = 0;
    for (int i = 0; i < Count(); ++i) {
      if (Slot(i).running || View(i).paused || View(i).waits) continue;
      if (Slot(i).out) {
        if (View(i).running) return;  // preempted just now: nobody overtakes it
        continue;
      }
      if (promised < 0) {
        promised = Promised();
        running = Running();
      }
      if (running >= limits_.max_running || rows_left_ <= 0 || free_ < Need(i) + promised) {
        if (!Displace(i)) return;
        promised = Promised();
        running = Running();
      }
      Slot(i).running = true;
      TakeFound(i);
      GiveRows(i);
      promised += std::max(0, BlocksFor(View(i).tokens + 1) - Slot(i).blocks) + 1;
      ++running;
    }
  }

  // Makes a place for waiting `i` out of stalled sequences' blocks and of running sequences of lower
  // priority. Takes nothing when all of that would not be enough.
  bool Displace(int i) {
    int reclaimable = free_;
    plan_.trial_holders = plan_.holders;
    int rows_after = rows_left_;
    int staying = 0;
    for (int v = 0; v < Count(); ++v) {
      if (!Slot(v).running) continue;
      const bool lower = View(v).priority < View(i).priority;
      if (View(v).stalled || lower) reclaimable += Freed(v, &plan_.trial_holders);
      if (!View(v).paused && !lower) ++staying;
      if (lower && Slot(v).work >= 0) rows_after += PlannedRows(v);
    }
    if (staying >= limits_.max_running || rows_after <= 0) return false;
    const auto after = plan_.trial_holders.empty()
                           ? holders_before_
                           : std::span<const int32_t>(plan_.trial_holders);
    if (reclaimable < Need(i, after) + PromisedAtLeast(View(i).priority)) return false;
    for (int v = Count() - 1; v >= 0 && free_ < Need(i) + Promised(); --v) {
      if (Slot(v).running && View(v).stalled && Slot(v).blocks > 0) Preempt(v);
    }
    for (int v = Count() - 1; v > i && !Fits(i); --v) {
      if (Slot(v).running && View(v).priority < View(i).priority) Preempt(v);
    }
    return Fits(i);
  }

  bool Fits(int i) {
    return free_ >= Need(i) + Promised() && Running() < limits_.max_running && rows_left_ > 0;
  }

  int PlannedRows(int i) {
    return plan_.work[static_cast<size_t>(Slot(i).work)].rows;
  }

  int PromisedAtLeast(int priority) {
    int blocks = 0;
    for (int i = 0; i < Count(); ++i) {
      if (!Steps(i) || View(i).priority < priority) continue;
      blocks += std::max(0, BlocksFor(View(i).tokens) - Slot(i).blocks) + 1;
    }
    return blocks;
  }

  void DropCancelledWork() {
    std::erase_if(plan_.work, [](const Plan::Work& work) { return work.rows == 0; });
  }

  const std::span<const SequenceView> views_;
  const SchedulerLimits& limits_;
  const std::span<const int32_t> holders_before_;
  const int64_t now_ns_;
  Plan& plan_;
  int free_;
  int rows_left_;
  int items_ = 0;  // sequences with work
};

}  // namespace

void MakePlan(const SchedulerInput& input, Plan* plan) { Planner(input, plan).Run(); }

}  // namespace pelton::engine
