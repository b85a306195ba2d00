#include "engine/scheduler.h"

#include <algorithm>

namespace pelton::engine {

namespace {

class Planner {
 public:
  Planner(const SchedulerInput& input, Plan* plan)
      : views_(input.sequences), tenants_(input.tenants), limits_(input.limits),
        holders_before_(input.holders), now_ns_(input.now_ns),
        reserved_places_(input.reserved_places), prompt_rows_max_(input.prompt_rows), plan_(*plan),
        free_(input.free_blocks),
        rows_left_(input.limits.step_tokens) {
    plan_.expired.clear();
    plan_.preempted.clear();
    plan_.work.clear();
    plan_.holders.clear();
    plan_.queue_wait = QueueWait::kNothing;
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
    PlanPrompts();
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

  // Prompts of running sequences and new ones from the queue, in rank order.
  void PlanPrompts() {
    bool open = true;  // the queue: until somebody in it cannot be admitted
    for (int i = 0; i < Count(); ++i) {
      if (View(i).paused) continue;
      if (Slot(i).running) {
        const bool has_place = rows_left_ > 0 && items_ < limits_.max_running;
        if (Pending(i) > 1 && has_place && PromptRowsLeft() > 0) GiveRows(i);
      } else if (Slot(i).out) {
        if (View(i).running) open = false;  // preempted just now: nobody overtakes it
      } else if (open && !View(i).waits) {
        open = Admit(i);
      }
    }
  }

  int PromptRowsLeft() const {
    const bool bounded = prompt_rows_max_ > 0 && decode_rows_ > 0;
    return bounded ? std::max(0, prompt_rows_max_ - prompt_rows_) : rows_left_;
  }

  // Plans as many rows of `i` as budget, chunk and blocks allow; preempts others only when not even
  // one row would fit.
  void GiveRows(int i) {
    const int computed = Computed(i);
    if (computed == Slot(i).blocks * limits_.block_tokens && !MakeRoom(i, 1)) return;
    const int room = (Slot(i).blocks + free_) * limits_.block_tokens - computed;
    const bool decodes = Pending(i) == 1 && View(i).running;
    const int budget = decodes ? rows_left_ : std::min(rows_left_, PromptRowsLeft());
    const int rows = std::min({Pending(i), limits_.prefill_chunk, budget, room});
    const int new_blocks = std::max(0, BlocksFor(computed + rows) - Slot(i).blocks);
    Slot(i).work = static_cast<int>(plan_.work.size());
    Slot(i).blocks += new_blocks;
    plan_.work.push_back(
        {.sequence = i, .rows = rows, .new_blocks = new_blocks, .decodes = decodes});
    free_ -= new_blocks;
    CountRows(decodes, rows);
    ++items_;
  }

  void CountRows(bool decodes, int rows) {
    rows_left_ -= rows;
    (decodes ? decode_rows_ : prompt_rows_) += rows;
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
      CountRows(work.decodes, -work.rows);
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

  // Blocks that a running sequence will want soon: the rest of its prompt and one of growth.
  int PromisedTo(int i) {
    return std::max(0, BlocksFor(View(i).tokens) - Slot(i).blocks) + 1;
  }

  int Promised() {
    int blocks = 0;
    for (int i = 0; i < Count(); ++i) blocks += Steps(i) ? PromisedTo(i) : 0;
    return blocks;
  }

  int Running() {
    int running = 0;
    for (int i = 0; i < Count(); ++i) running += Steps(i) ? 1 : 0;
    return running;
  }

  bool Fits(int i) {
    return free_ >= Need(i) + Promised() && Running() < limits_.max_running && rows_left_ > 0;
  }

  // Admits waiting `i`, or says what it waits for.
  bool Admit(int i) {
    if (rows_left_ > 0 && PromptRowsLeft() <= 0) {
      plan_.queue_wait = QueueWait::kRows;
      return false;
    }
    if (TakesReserved(i)) {
      plan_.queue_wait = QueueWait::kPlaces;
      return false;
    }
    if (!Fits(i) && !Displace(i)) {
      plan_.queue_wait = Running() >= limits_.max_running ? QueueWait::kPlaces
                         : rows_left_ <= 0                ? QueueWait::kRows
                                                          : QueueWait::kBlocks;
      return false;
    }
    Slot(i).running = true;
    TakeFound(i);
    GiveRows(i);
    return true;
  }

  // Whether `i` would take a place that is kept for other tenants. Its own tenant's running ones of
  // lower priority do not stand in its way.
  bool TakesReserved(int i) {
    if (reserved_places_ == 0) return false;
    int own = 0;
    for (int v = 0; v < Count(); ++v) {
      const bool counts = Steps(v) && View(v).tenant == View(i).tenant &&
                          View(v).priority >= View(i).priority;
      own += counts ? 1 : 0;
    }
    return own >= limits_.max_running - reserved_places_;
  }

  // Makes a place for waiting `i`: out of stalled sequences' blocks, of running sequences of lower
  // priority, and of lower ranks of tenants beyond their share. Takes nothing when all of that would
  // not be enough.
  bool Displace(int i) {
    int reclaimable = free_;
    plan_.trial_holders = plan_.holders;
    int rows_after = rows_left_;
    int staying = 0;
    int promised = 0;
    CountHeld();
    const bool entitled = StaysWithinShare(i);
    for (int v = Count() - 1; v >= 0; --v) {
      Plan::Slot& slot = Slot(v);
      slot.yields = false;
      if (!slot.running) continue;
      const bool lower = View(v).priority < View(i).priority;
      slot.yields = lower || (entitled && v > i && IsBeyondShare(v, i));
      if (slot.yields) LetGo(v);
      if (slot.yields || View(v).stalled) reclaimable += Freed(v, &plan_.trial_holders);
      if (slot.yields && slot.work >= 0) rows_after += PlannedRows(v);
      if (slot.yields || View(v).paused) continue;
      ++staying;
      promised += PromisedTo(v);
    }
    if (staying >= limits_.max_running || rows_after <= 0) return false;
    const auto after = plan_.trial_holders.empty()
                           ? holders_before_
                           : std::span<const int32_t>(plan_.trial_holders);
    if (reclaimable < Need(i, after) + promised) return false;
    for (int v = Count() - 1; v >= 0 && free_ < Need(i) + Promised(); --v) {
      if (Slot(v).running && View(v).stalled && Slot(v).blocks > 0) Preempt(v);
    }
    for (int v = Count() - 1; v > i && !Fits(i); --v) {
      if (Slot(v).running && Slot(v).yields) Preempt(v);
    }
    return Fits(i);
  }

  // What each tenant holds, and the part of the machine that is its own while these are here.
  void CountHeld() {
    plan_.held.assign(tenants_.size(), {});
    double weights = 0;
    for (const TenantView& tenant : tenants_) weights += tenant.weight;
    for (size_t t = 0; t < tenants_.size(); ++t) {
      plan_.held[t].share = weights > 0 ? tenants_[t].weight / weights : 1;
    }
    blocks_total_ = holders_before_.empty() ? free_ : static_cast<int>(holders_before_.size());
    for (int v = 0; v < Count(); ++v) {
      if (holders_before_.empty()) blocks_total_ += Slot(v).blocks;
      if (!Slot(v).running || tenants_.empty()) continue;
      Held(v).blocks += Slot(v).blocks;
      Held(v).sequences += View(v).paused ? 0 : 1;
    }
  }

  Plan::Held& Held(int i) { return plan_.held[static_cast<size_t>(View(i).tenant)]; }
  double PlacesOf(const Plan::Held& held) const {
    return std::max(1., held.share * limits_.max_running);
  }
  double BlocksOf(const Plan::Held& held) const { return held.share * blocks_total_; }

  bool StaysWithinShare(int i) {
    if (tenants_.size() < 2) return false;
    const int need = BlocksFor(View(i).tokens + 1);
    const Plan::Held& held = Held(i);
    return held.sequences + 1 <= PlacesOf(held) && held.blocks + need <= BlocksOf(held);
  }

  bool IsBeyondShare(int v, int i) {
    if (View(v).priority != View(i).priority || View(v).tenant == View(i).tenant) return false;
    const Plan::Held& held = Held(v);
    return View(v).settled && (held.sequences > PlacesOf(held) || held.blocks > BlocksOf(held));
  }

  void LetGo(int v) {
    if (tenants_.empty()) return;
    Held(v).blocks -= Slot(v).blocks;
    Held(v).sequences -= View(v).paused ? 0 : 1;
  }

  int PlannedRows(int i) {
    return plan_.work[static_cast<size_t>(Slot(i).work)].rows;
  }

  void DropCancelledWork() {
    std::erase_if(plan_.work, [](const Plan::Work& work) { return work.rows == 0; });
  }

  const std::span<const SequenceView> views_;
  const std::span<const TenantView> tenants_;
  const SchedulerLimits& limits_;
  const std::span<const int32_t> holders_before_;
  const int64_t now_ns_;
  const int reserved_places_;
  const int prompt_rows_max_;
  Plan& plan_;
  int free_;
  int rows_left_;
  int items_ = 0;  // sequences with work
  int decode_rows_ = 0, prompt_rows_ = 0;
  int blocks_total_ = 0;
};

}  // namespace

void MakePlan(const SchedulerInput& input, Plan* plan) { Planner(input, plan).Run(); }

}  // namespace pelton::engine
