#include "engine/loop.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace pelton::engine {

namespace {

// A sequence that yields to another tenant is computed again later. So that this costs a part of the
// work only, it must have brought at least so many new positions since it was admitted, and an
// eighth of what is to be computed again.
constexpr int kSettledMin = 16;
// While several tenants come, so much of max_running is kept from any one of them: what one of them
// asks now and then finds a place and nobody is computed again for it.
constexpr int kReservedPart = 8;

}  // namespace

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
           kv::KvStorage storage, const PrefixOptions& prefix, int64_t tbt_target_ns)
    : parts_(parts), limits_(limits), pause_grace_ns_(pause_grace_ns), storage_(std::move(storage)),
      cache_(storage_.blocks(), limits.block_tokens, prefix.on,
             kv::PrefixHasher(prefix.disk != nullptr ? prefix.disk->key() : prefix.key, prefix.scope,
                              prefix.hooks)),
      disk_(prefix.on ? prefix.disk : nullptr),
      pace_(tbt_target_ns),
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
  Rank();
}

void Loop::Insert(std::unique_ptr<Sequence> sequence) {
  sequence->arrival = arrivals_++;
  sequence->chain.Start(cache_.hasher(), sequence->request.tenant);
  sequence->tenant = fair_queue_.Join(sequence->request.tenant, sequence->request.tenant_weight);
  by_id_[sequence->request.id] = sequence.get();
  ranked_.push_back(std::move(sequence));
}

// Higher priority first, then the tenant served less, then earlier arrival. Nearly in order already.
void Loop::Rank() {
  const auto before = [&](const auto& a, const auto& b) {
    if (a->request.priority != b->request.priority) {
      return a->request.priority > b->request.priority;
    }
    if (a->tenant != b->tenant) {  // else arrival decides
      const double a_time = fair_queue_.VirtualTime(a->tenant);
      const double b_time = fair_queue_.VirtualTime(b->tenant);
      if (a_time != b_time) return a_time < b_time;
      // Who has just come back stands where the others are: it asks for less.
      const int a_alive = fair_queue_.Alive(a->tenant);
      const int b_alive = fair_queue_.Alive(b->tenant);
      if (a_alive != b_alive) return a_alive < b_alive;
    }
    return a->arrival < b->arrival;
  };
  if (!std::is_sorted(ranked_.begin(), ranked_.end(), before)) {
    std::sort(ranked_.begin(), ranked_.end(), before);
  }
}

void Loop::Pause(Sequence& sequence) {
  sequence.paused = true;
  sequence.paused_since_ns = parts_.clock.NowNs();
}

void Loop::Unpause(Sequence& sequence) {
  if (!sequence.paused) return;
  const int64_t now_ns = parts_.clock.NowNs();
  sequence.paused = false;
  sequence.paused_ns += now_ns - sequence.paused_since_ns;
  sequence.usage.wait_reader_ns += now_ns - std::exchange(sequence.wait_seen_ns, now_ns);
}

bool Loop::Stalled(const Sequence& sequence, int64_t now_ns) const {
  return sequence.paused &&
         sequence.paused_ns + now_ns - sequence.paused_since_ns >= pause_grace_ns_;
}

// The prompt rows that keep this step near the target, given what decodes in it.
int Loop::PromptRowsAllowed() {
  const auto decodes_now = [](const Sequence& s) {
    return s.running && !s.paused && s.computed + 1 == s.known();
  };
  const Sequence* prompt = nullptr;  // the first that has one to compute
  StepShape decodes;
  for (const auto& sequence : ranked_) {
    if (decodes_now(*sequence)) {
      ++decodes.decode_rows;
      decodes.decode_attended += sequence->known();
    } else if (prompt == nullptr && !sequence->paused) {
      prompt = sequence.get();
    }
  }
  generated_cost_ = pace_.GeneratedCost(decodes);
  if (prompt == nullptr) return pace_.PromptRows(decodes, 0);
  // Its tenant is owed something when it has less than its part of the decoding rows.
  double weights = 0;
  for (const TenantView& tenant : fair_queue_.Views()) weights += tenant.weight;
  const double part =
      fair_queue_.Views()[static_cast<size_t>(prompt->tenant)].weight / weights;
  const auto own = std::count_if(ranked_.begin(), ranked_.end(), [&](const auto& sequence) {
    return sequence->tenant == prompt->tenant && decodes_now(*sequence);
  });
  const bool owed = static_cast<double>(own) < part * decodes.decode_rows && part < 1;
  return pace_.PromptRows(decodes, prompt->computed, owed);
}

// Whoever is not running waits for what the head of the queue waits for.
void Loop::CountWaits(int64_t now_ns) {
  for (const auto& sequence : ranked_) {
    const int64_t waited_ns = now_ns - std::exchange(sequence->wait_seen_ns, now_ns);
    Usage& usage = sequence->usage;
    if (sequence->paused) {
      usage.wait_reader_ns += waited_ns;
    } else if (!sequence->running) {
      (plan_.queue_wait == QueueWait::kPlaces   ? usage.wait_places_ns
       : plan_.queue_wait == QueueWait::kBlocks ? usage.wait_blocks_ns
                                                : usage.wait_rows_ns) += waited_ns;
    }
  }
}

void Loop::MakeStepPlan() {
  const int64_t now_ns = parts_.clock.NowNs();
  turn_begin_ns_ = now_ns;
  CountWaits(now_ns);
  FindPrefixes(now_ns);
  views_.clear();
  last_ranks_.clear();
  for (const auto& sequence : ranked_) {
    last_ranks_.push_back(sequence->request.id);
    const int fresh = sequence->served - sequence->served_at_admission;
    views_.push_back({.tokens = sequence->known(),
                      .computed = sequence->computed,
                      .blocks = static_cast<int>(sequence->blocks.size()),
                      .priority = sequence->request.priority,
                      .tenant = sequence->tenant,
                      .deadline_ns = sequence->request.deadline_ns,
                      .block_ids = sequence->running ? sequence->blocks : sequence->found,
                      .found = sequence->running ? 0 : static_cast<int>(sequence->found.size()),
                      .waits = sequence->waits,
                      .running = sequence->running,
                      .started = sequence->started,
                      .paused = sequence->paused,
                      .stalled = Stalled(*sequence, now_ns),
                      .settled = fresh >= std::max(kSettledMin, sequence->computed / 8)});
  }
  MakePlan({.sequences = views_,
            .tenants = fair_queue_.Views(),
            .free_blocks = cache_.available(),
            .holders = cache_.pool().references(),
            .now_ns = now_ns,
            .reserved_places = fair_queue_.several() ? limits_.max_running / kReservedPart : 0,
            .prompt_rows = PromptRowsAllowed(),
            .limits = limits_},
           &plan_);
  idle_ = plan_.work.empty() && !loads_left_;
  for (const int i : plan_.preempted) {
    Sequence& sequence = *ranked_[static_cast<size_t>(i)];
    GiveUpBlocks(sequence);
    sequence.paused_ns = 0;
    ++sequence.usage.preemptions;
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
