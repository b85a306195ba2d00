#include "engine/scheduler.h"

#include <algorithm>

namespace pelton::engine {

namespace {

class Planner {
 public:
  Planner(const SchedulerInput& input, Plan* plan)
      : views_(input.sequences), limits_(input.limits), now_ns_(input.now_ns), plan_(*plan),
        free_(input.free_blocks), rows_left_(input.limits.step_tokens) {
    plan_.expired.clear();
    plan_.preempted.clear();
    plan_.work.clear();
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
  int Pending(int i) const { return View(i).tokens - View(i).computed; }
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
    const int computed = View(i).computed;
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
    free_ += slot.blocks;
    slot = {.running = false, .out = true};
    plan_.preempted.push_back(v);
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
      if (Slot(i).running || View(i).paused) continue;
      if (Slot(i).out) {
        if (View(i).running) return;  // preempted just now: nobody overtakes it
        continue;
      }
      if (promised < 0) {
        promised = Promised();
        running = Running();
      }
      const int need = BlocksFor(View(i).tokens + 1);
      if (running >= limits_.max_running || rows_left_ <= 0 || free_ < need + promised) {
        if (!Displace(i, need)) return;
        promised = Promised();
        running = Running();
      }
      Slot(i).running = true;
      GiveRows(i);
      promised += std::max(0, need - Slot(i).blocks) + 1;
      ++running;
    }
  }

  // Makes a place for waiting `i` out of stalled sequences' blocks and of running sequences of lower
  // priority. Takes nothing when all of that would not be enough.
  bool Displace(int i, int need) {
    int reclaimable = free_;
    int rows_after = rows_left_;
    int staying = 0;
    for (int v = 0; v < Count(); ++v) {
      if (!Slot(v).running) continue;
      const bool lower = View(v).priority < View(i).priority;
      if (View(v).stalled || lower) reclaimable += Slot(v).blocks;
      if (!View(v).paused && !lower) ++staying;
      if (lower && Slot(v).work >= 0) rows_after += PlannedRows(v);
    }
    if (staying >= limits_.max_running || rows_after <= 0) return false;
    if (reclaimable < need + PromisedAtLeast(View(i).priority)) return false;
    for (int v = Count() - 1; v >= 0 && free_ < need + Promised(); --v) {
      if (Slot(v).running && View(v).stalled && Slot(v).blocks > 0) Preempt(v);
    }
    for (int v = Count() - 1; v > i && !Fits(need); --v) {
      if (Slot(v).running && View(v).priority < View(i).priority) Preempt(v);
    }
    return Fits(need);
  }

  bool Fits(int need) {
    return free_ >= need + Promised() && Running() < limits_.max_running && rows_left_ > 0;
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
  const int64_t now_ns_;
  Plan& plan_;
  int free_;
  int rows_left_;
  int items_ = 0;  // sequences with work
};

}  // namespace

void MakePlan(const SchedulerInput& input, Plan* plan) { Planner(input, plan).Run(); }

}  // namespace pelton::engine
