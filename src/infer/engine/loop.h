// The engine thread's work, one turn at a time. Knows no threads itself: the engine calls Turn in a
// loop on its thread, the simulation calls it by hand with a fake clock.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "engine/batch.h"
#include "engine/draft_plan.h"
#include "engine/engine.h"
#include "engine/fair_queue.h"
#include "engine/inbox.h"
#include "engine/pace.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "kv/kv_storage.h"
#include "kv/prefix_cache.h"

namespace pelton::engine {

// What the loop works with; all of it outlives the loop.
struct LoopParts {
  models::Model& model;
  const text::Tokenizer& tokenizer;
  nn::Team& team;
  const Clock& clock;
  Inbox& inbox;
};

// How equal beginnings of texts are shared.
struct PrefixOptions {
  bool on = true;
  kv::ServerKey key = kv::RandomServerKey();
  kv::PrefixTestHooks hooks = {};
  kv::DiskCache* disk = nullptr;  // outlives the loop; its key is used then
  std::string scope = {};         // on disk: what keys and values depend on beside the tokens
};

class Loop {  // owned by the engine thread; Stats is thread-safe
 public:
  // pause_grace_ns: how long a sequence may be paused, in all since it was admitted, before waiting
  // ones may take its KV blocks.
  // tbt_target_ns: see Pace.
  Loop(const LoopParts& parts, const SchedulerLimits& limits, int64_t pause_grace_ns,
       kv::KvStorage storage, const PrefixOptions& prefix = {}, int64_t tbt_target_ns = 0);

  ~Loop();

  // One pass. Waits up to `idle_wait_ns` for mail when the last pass found nothing to step.
  void Turn(int64_t idle_wait_ns);
  // Every request, also those still in the inbox, hears its finish (cancelled).
  void CancelAll();

  EngineStats Stats() const;

  // For the simulation's invariants.
  const kv::PrefixCache& cache() const { return cache_; }
  std::span<const std::unique_ptr<Sequence>> sequences() const { return ranked_; }
  const Plan& last_plan() const { return plan_; }
  std::span<const RequestId> last_ranks() const { return last_ranks_; }  // that the plan was made of
  const FairQueue& fair_queue() const { return fair_queue_; }

 private:
  // The stages of a turn, in order.
  void DrainInbox(int64_t wait_ns);
  void MakeStepPlan();
  bool BuildBatch();
  void Step();
  void Sample();
  void Commit();
  void Publish();

  void Insert(std::unique_ptr<Sequence> sequence);
  void Rank();
  int PromptRowsAllowed();
  void CountWaits(int64_t now_ns);
  void Pause(Sequence& sequence);
  void Unpause(Sequence& sequence);
  bool Stalled(const Sequence& sequence, int64_t now_ns) const;
  void ReleaseBlocks(Sequence& sequence);
  void GiveUpBlocks(Sequence& sequence);
  // prefix.cc
  void FindPrefixes(int64_t now_ns);
  int FindPrefix(Sequence& sequence);  // the number of look-ups
  bool AnotherComputesNext(size_t rank, int64_t now_ns) const;
  void TakeFound(Sequence& sequence);
  void KeepFullBlocks(Sequence& sequence);
  // prefix_disk.cc
  void TakeLoads();
  bool LoadsFromDisk(Sequence& sequence);
  void StartLoad(Sequence& sequence);
  void TakeLoaded(Sequence& sequence);
  void EndLoad(Sequence& sequence);
  void SaveBlock(Sequence& sequence, int index);
  void SaveFound(Sequence& sequence);
  bool Reserve(Sequence& sequence, int new_blocks);
  void PlanDrafts();
  int FoundUnheld(const Sequence& sequence) const;
  DraftOffer OfferOf(const Plan::Work& work);
  void DrawTokens(size_t i);  // of batch_.sampled()[i]
  void ChargeTenant(Sequence& sequence);
  void CommitTokens(Sequence& sequence);
  void CommitToken(Sequence& sequence, sampling::Sample& sample);
  void Finish(Sequence& sequence, FinishReason reason, Status error);
  void RetireFinished();
  void Deliver(Sequence& sequence);
  void CountStep();

  const LoopParts parts_;
  const SchedulerLimits limits_;
  const int64_t pause_grace_ns_;
  kv::KvStorage storage_;
  kv::PrefixCache cache_;
  kv::DiskCache* const disk_;

  std::vector<std::unique_ptr<Sequence>> ranked_;  // alive, in rank order
  std::unordered_map<RequestId, Sequence*> by_id_;
  FairQueue fair_queue_;
  Pace pace_;
  int64_t turn_begin_ns_ = 0;
  double generated_cost_ = Pace::kGeneratedCostMin;  // in this step
  std::vector<std::unique_ptr<Sequence>> finished_;  // to be told in this turn
  uint64_t arrivals_ = 0;
  bool idle_ = true;
  size_t load_bytes_left_ = 0, save_bytes_left_ = 0;  // of this turn
  bool loads_left_ = false;  // blocks may be ready that this turn had no room for

  // Of this turn; kept so that a turn does not allocate.
  Inbox::Mail mail_;
  std::vector<SequenceView> views_;
  std::vector<RequestId> last_ranks_;
  Plan plan_;
  std::vector<DraftOffer> offers_;  // one a plan's work
  std::vector<int> draft_rows_;     // the same
  Batch batch_;
  int64_t step_begin_ns_ = 0;

  StepCost step_cost_;
  EngineStats counts_;
  mutable std::mutex stats_mutex_;
  EngineStats stats_;  // guarded by stats_mutex_
};

}  // namespace pelton::engine
