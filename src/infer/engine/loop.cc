#include "engine/loop.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace pelton::engine {

// The page to read first: one turn of the engine.
void Loop::Turn(int64_t idle_wait_ns) {
  DrainInbox(idle_ ? idle_wait_ns : 0);
  MakeStepPlan();
  if (BuildBatch()) {
    const nn::Team::Turn turn(parts_.team);
    Step();
    Sample();
  }
  Commit();
  Publish();
}

Loop::Loop(const LoopParts& parts, const SchedulerLimits& limits, int64_t pause_grace_ns,
           kv::KvStorage storage, const PrefixOptions& prefix)
    : parts_(parts), limits_(limits), pause_grace_ns_(pause_grace_ns), storage_(std::move(storage)),
      cache_(storage_.blocks(), limits.block_tokens, prefix.on,
             kv::PrefixHasher(prefix.disk != nullptr ? prefix.disk->key() : prefix.key, prefix.scope,
                              prefix.hooks)),
      disk_(prefix.on ? prefix.disk : nullptr),
      batch_(parts.model.info().vocab_size) {
  batch_.Clear();
  counts_.prefix_table_bytes = cache_.table_bytes();
  CountStep();
}

void Loop::DrainInbox(int64_t wait_ns) {
  parts_.inbox.Drain(wait_ns, &mail_);
  for (auto& sequence : mail_.arrivals) Insert(std::move(sequence));
  for (const RequestId id : mail_.resumes) {
    const auto at = by_id_.find(id);
    if (at != by_id_.end()) Unpause(*at->second);
  }
  for (const RequestId id : mail_.cancels) {
    const auto at = by_id_.find(id);
    if (at != by_id_.end()) Finish(*at->second, FinishReason::kCancelled, OkStatus());
  }
  if (!mail_.cancels.empty()) RetireFinished();
}

// Keeps ranked_ in order: higher priority first, then earlier arrival.
void Loop::Insert(std::unique_ptr<Sequence> sequence) {
  sequence->arrival = arrivals_++;
  sequence->chain.Start(cache_.hasher(), sequence->request.tenant);
  by_id_[sequence->request.id] = sequence.get();
  const auto at = std::upper_bound(ranked_.begin(), ranked_.end(), sequence->request.priority,
                                   [](int priority, const auto& other) {
                                     return priority > other->request.priority;
                                   });
  ranked_.insert(at, std::move(sequence));
}

void Loop::Pause(Sequence& sequence) {
  sequence.paused = true;
  sequence.paused_since_ns = parts_.clock.NowNs();
}

void Loop::Unpause(Sequence& sequence) {
  if (!sequence.paused) return;
  sequence.paused = false;
  sequence.paused_ns += parts_.clock.NowNs() - sequence.paused_since_ns;
}

bool Loop::Stalled(const Sequence& sequence, int64_t now_ns) const {
  return sequence.paused &&
         sequence.paused_ns + now_ns - sequence.paused_since_ns >= pause_grace_ns_;
}

void Loop::MakeStepPlan() {
  const int64_t now_ns = parts_.clock.NowNs();
  FindPrefixes(now_ns);
  views_.clear();
  for (const auto& sequence : ranked_) {
    views_.push_back({.tokens = sequence->known(),
                      .computed = sequence->computed,
                      .blocks = static_cast<int>(sequence->blocks.size()),
                      .priority = sequence->request.priority,
                      .deadline_ns = sequence->request.deadline_ns,
                      .block_ids = sequence->running ? sequence->blocks : sequence->found,
                      .found = sequence->running ? 0 : static_cast<int>(sequence->found.size()),
                      .waits = sequence->waits,
                      .running = sequence->running,
                      .started = sequence->started,
                      .paused = sequence->paused,
                      .stalled = Stalled(*sequence, now_ns)});
  }
  MakePlan({.sequences = views_,
            .free_blocks = cache_.available(),
            .holders = cache_.pool().references(),
            .now_ns = now_ns,
            .limits = limits_},
           &plan_);
  idle_ = plan_.work.empty() && !loads_left_;
  for (const int i : plan_.preempted) {
    Sequence& sequence = *ranked_[static_cast<size_t>(i)];
    GiveUpBlocks(sequence);
    sequence.paused_ns = 0;
    ++counts_.preemptions;
  }
  for (const int i : plan_.expired) {
    Finish(*ranked_[static_cast<size_t>(i)], FinishReason::kError,
           DeadlineExceeded("the deadline passed while the request was queued"));
  }
  PlanDrafts();
}

void Loop::ReleaseBlocks(Sequence& sequence) {
  cache_.Release(sequence.blocks);
  sequence.blocks.clear();
  sequence.kept = 0;
}

// It waits again; what the cache still has of it then is found again.
void Loop::GiveUpBlocks(Sequence& sequence) {
  ReleaseBlocks(sequence);
  sequence.computed = 0;
  sequence.running = false;
  sequence.load_tried = false;
}

bool Loop::Reserve(Sequence& sequence, int new_blocks) {
  if (new_blocks == 0) return true;
  const auto blocks = cache_.Allocate(new_blocks);
  if (BUG_IF(!blocks, "the plan gave out more blocks than are free")) return false;
  sequence.blocks.insert(sequence.blocks.end(), blocks->begin(), blocks->end());
  return true;
}

void Loop::CancelAll() {
  DrainInbox(0);
  batch_.Clear();
  for (const auto& sequence : ranked_) {
    if (!sequence->finish) Finish(*sequence, FinishReason::kCancelled, OkStatus());
  }
  RetireFinished();
  Publish();
}

}  // namespace pelton::engine
