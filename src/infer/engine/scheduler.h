// Who steps next: a pure function from a picture of all sequences to a plan. No clocks, no memory of
// its own, no pointers to sequences; the simulation in tests/sim drives exactly this code.
//
// Rules
//  1. Sequences come in rank order: higher priority first, then the tenant that has been served less
//     for its weight (fair_queue.h), then earlier arrival.
//  2. One row for each decoding sequence first, then prompts, of running sequences and of new ones
//     from the queue alike, in rank order, within `step_tokens`. Beside decoding rows the prompts
//     get `prompt_rows` at most, so that a step stays as short as the running streams need it.
//  3. When KV blocks run out, a sequence of lower rank gives all of its blocks back and is computed
//     again later (preemption by recompute). Stalled sequences (paused for longer than a grace) go
//     first, whatever their rank; paused ones also when nobody ranks lower. So the first unpaused
//     running sequence, or one that ranks above it, progresses in every step, and with it, one after
//     another, all.
//  4. The queue is strict: nobody overtakes a waiting sequence of higher rank that does not fit yet.
//     One of higher priority takes the place of running ones of lower priority. One of equal priority
//     takes the place of lower ranks whose tenant has more than its share of places or blocks, when
//     its own tenant stays within its share with it and they have computed enough since they were
//     admitted (`settled`).
//     Of paused ones it takes the place only when they are stalled: each grace of pausing costs a
//     slow reader at most one recompute, however often it pauses.
//     `reserved_places` are left to other tenants than the one that has all the others.
//  5. Admission wants blocks for the whole prompt, beside what running prompts still need and one
//     block of growth for each running sequence; so preemption stays rare.
//  6. Queued work past its deadline is dropped unstarted.
//  7. Sequences may share blocks (prefix cache). A block is free when its last holder lets go, so what
//     a preemption gives is counted block by block. A waiting sequence that finds blocks of its
//     prefix begins behind them; those that nobody holds are taken out of the free ones. One whose
//     next block another is about to compute waits for it, and may be overtaken meanwhile.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pelton::engine {

struct SchedulerLimits {
  int step_tokens = 0;    // rows of one step
  int prefill_chunk = 0;  // most rows of one sequence in a step
  int max_running = 0;    // sequences in a step
  int block_tokens = 0;   // positions of a KV block
  int draft_rows = 0;     // most rows of a step with drafts; 0: no speculation (draft_plan.h)
};

struct SequenceView {
  int tokens = 0;          // known: prompt and generated
  int computed = 0;        // of those, how many lie in the KV cache; < tokens
  int blocks = 0;          // KV blocks held
  int priority = 0;
  int tenant = 0;          // index into SchedulerInput::tenants
  int64_t deadline_ns = 0;  // 0: none
  // The blocks held; of a waiting one the first blocks of its prefix, which the cache has. Needed
  // only with SchedulerInput::holders.
  std::span<const int32_t> block_ids = {};
  int found = 0;           // waiting: how many blocks the cache has of it
  bool waits = false;      // waiting: not to be admitted in this step, nor to hold up others
  bool running = false;    // admitted and not preempted
  bool started = false;    // was admitted at least once
  bool paused = false;     // its reader is behind
  bool stalled = false;    // paused, and for longer than the grace since it was admitted
  bool settled = false;    // has computed so much since it was admitted that it may be asked to yield
};

struct TenantView {
  double weight = 0;  // part of the machine, relative to the other tenants' with sequences alive
};

struct SchedulerInput {
  std::span<const SequenceView> sequences;  // in rank order
  std::span<const TenantView> tenants = {};  // may be empty: then all is one tenant's
  int free_blocks = 0;
  // Running sequences that hold each block, by block id; empty: no block is shared.
  std::span<const int32_t> holders = {};
  int64_t now_ns = 0;
  int reserved_places = 0;  // of max_running, that no tenant alone may take
  int prompt_rows = 0;  // most prompt rows of a step that also decodes; 0: no such bound
  SchedulerLimits limits;
};

// What the head of the queue waits for.
enum class QueueWait : uint8_t { kNothing, kPlaces, kBlocks, kRows };

// All indices are into SchedulerInput::sequences.
struct Plan {
  struct Work {
    int sequence = 0;
    int rows = 0;        // ≥ 1; all that are left when they give a token
    int new_blocks = 0;  // to allocate before the step
    int draft_rows = 0;  // further rows behind them; planned after all else (draft_plan.h)
    bool decodes = false;  // the row of its newest token; else a part of its prompt
  };
  std::vector<int> expired;    // drop
  std::vector<int> preempted;  // give blocks back before anything is allocated
  std::vector<Work> work;      // a waiting one among them is admitted by it
  QueueWait queue_wait = QueueWait::kNothing;

  // Scratch of the scheduler, kept so that planning does not allocate.
  struct Slot {
    int blocks = 0;     // held, or to be held after this plan
    int work = -1;      // index into `work`, -1 none
    bool running = false;
    bool out = false;   // expired or preempted by this plan
    bool yields = false;  // to the waiting sequence looked at
  };
  std::vector<Slot> slots;
  struct Held {
    int sequences = 0, blocks = 0;
    double share = 1;  // of places and blocks that its weight gives it
  };
  std::vector<Held> held;  // by tenant
  std::vector<int32_t> holders;        // as this plan leaves them; empty until it changes one
  std::vector<int32_t> trial_holders;  // as they would be
};

// Replaces *plan. Work never exceeds the limits, blocks never exceed the free and the given back.
void MakePlan(const SchedulerInput& input, Plan* plan);

}  // namespace pelton::engine
