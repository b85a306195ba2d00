#include "serving/generation.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace pelton::serving {

using backend::Delta;
using backend::FinishReason;
using backend::Flow;

class Generation::Sink final : public backend::DeltaSink {
 public:
  Sink(std::shared_ptr<Generation> generation, int index)
      : generation_(std::move(generation)), index_(index) {}
  Flow OnDelta(Delta&& delta) override { return generation_->Take(index_, std::move(delta)); }

 private:
  const std::shared_ptr<Generation> generation_;
  const int index_;
};

Status Generation::Start(std::shared_ptr<const Served> model,
                         std::shared_ptr<ModelMetrics> metrics,
                         std::vector<backend::SequenceRequest> sequences, Ticket ticket,
                         RequestRecord record) {
  // Held over all submissions: Cancel waits for the ids, and the pump for the outcome.
  const std::lock_guard lock(mutex_);
  if (cancelled_) return Cancelled("the client has gone");
  model_ = std::move(model);
  metrics_ = std::move(metrics);
  record_ = std::move(record);
  submitted_ns_ = NowNs();
  backend::Backend& backend = *model_->backend;
  for (size_t i = 0; i < sequences.size(); ++i) {
    sequences_.push_back(std::make_unique<Sequence>());
    sequences_.back()->id = backend.NextRequestId();
  }
  unfinished_ = static_cast<int>(sequences.size());
  for (size_t i = 0; i < sequences.size(); ++i) {
    Status status =
        backend.Submit(sequences_[i]->id, std::move(sequences[i]),
                       std::make_shared<Sink>(shared_from_this(), static_cast<int>(i)));
    if (status.ok()) continue;
    for (size_t j = 0; j < i; ++j) backend.Cancel(sequences_[j]->id);
    state_ = State::kRefused;
    return status;
  }
  ticket_ = std::move(ticket);
  state_ = State::kRunning;
  pump_.Watch(weak_from_this());
  return OkStatus();
}

void Generation::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (state_ != State::kRunning) return;
  for (const auto& sequence : sequences_) model_->backend->Cancel(sequence->id);
}

bool Generation::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

void Generation::ReaderDrained() {
  congested_.store(false);
  ResumeAll();
}

// On the backend's thread.
Flow Generation::Take(int index, Delta&& delta) {
  const bool last = delta.finish.has_value();
  const int pending = sequences_[static_cast<size_t>(index)]->pending.fetch_add(1) + 1;
  const bool pause = !last && (pending >= kPendingMax || congested_.load());
  // Told before the delta is posted: a Resume that crosses the pause waits in the backend's inbox.
  if (pause) any_paused_.store(true);
  pump_.Post(shared_from_this(), index, std::move(delta));
  return pause ? Flow::kPause : Flow::kContinue;
}

void Generation::ResumeAll() {
  if (!any_paused_.exchange(false)) return;
  const std::lock_guard lock(mutex_);
  if (state_ != State::kRunning) return;
  for (const auto& sequence : sequences_) model_->backend->Resume(sequence->id);
}

void Generation::Deliver(int index, Delta&& delta, int64_t at_ns) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kRunning) return;  // refused: the caller has answered already
  }
  Sequence& sequence = *sequences_[static_cast<size_t>(index)];
  sequence.pending.fetch_sub(1);
  Observe(&sequence, delta, at_ns);
  const bool last = delta.finish.has_value() && !std::exchange(sequence.finished, true);
  output_->OnDelta(index, std::move(delta));
  if (last && --unfinished_ == 0) {
    Finish();
    return;
  }
  if (output_->Congested()) {
    congested_.store(true);
    // The reader may have caught up before the flag stood.
    if (!output_->Congested()) ReaderDrained();
  } else if (sequence.pending.load() == 0) {
    ResumeAll();
  }
}

void Generation::Observe(Sequence* sequence, const Delta& delta, int64_t at_ns) {
  const int fresh = delta.usage.completion_tokens - sequence->tokens;
  sequence->usage = delta.usage;
  if (fresh > 0) {
    if (sequence->tokens == 0) {
      Started(delta.usage.prompt_tokens);
      metrics_->first_token_s.Observe(static_cast<double>(at_ns - arrived_ns_) * 1e-9);
      metrics_->queue_s.Observe(static_cast<double>(delta.usage.queue_ns) * 1e-9);
    } else {
      const double gap_s = static_cast<double>(at_ns - sequence->last_token_ns) * 1e-9;
      metrics_->token_gap_s.Observe(gap_s / fresh, static_cast<uint64_t>(fresh));
    }
    sequence->tokens = delta.usage.completion_tokens;
    sequence->last_token_ns = at_ns;
    metrics_->generated_tokens.Add(static_cast<uint64_t>(fresh));
  }
  if (!delta.finish || sequence->finished) return;
  sequence->finish = delta.finish;
  metrics_->measure.Answered(delta.usage.completion_tokens);
  metrics_->prompt_tokens.Add(static_cast<uint64_t>(std::max(0, delta.usage.prompt_tokens)));
  metrics_->cached_tokens.Add(static_cast<uint64_t>(std::max(0, delta.usage.cached_tokens)));
  metrics_->finished[static_cast<size_t>(*delta.finish)]->Add();
}

// Its place in the queue is free.
void Generation::Started(int prompt_tokens) {
  const std::lock_guard lock(mutex_);
  ticket_.Started(prompt_tokens);
}

void Generation::CompleteRecord() {
  for (const auto& sequence : sequences_) record_.timings.Add(sequence->usage);
  record_.timings.Complete(static_cast<double>(submitted_ns_ - arrived_ns_) * 1e-6);
  if (const auto finish = sequences_.front()->finish) record_.finish = FinishReasonName(*finish);
  if (log_ != nullptr) log_->Add(record_);
}

void Generation::Finish() {
  CompleteRecord();
  metrics_->request_s.Observe(static_cast<double>(NowNs() - arrived_ns_) * 1e-9);
  Ticket ticket;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::kDone;
    ticket = std::move(ticket_);
  }
  ticket.Release();  // before the answer ends: who asks again at once finds the place free
  output_->OnFinished(record_);
}

bool Generation::Tick(int64_t now_ns) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kRunning) return false;
  }
  output_->OnTick(now_ns);
  if (!output_->Congested()) ReaderDrained();
  return true;
}

}  // namespace pelton::serving
