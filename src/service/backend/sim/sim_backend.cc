#include "backend/sim/sim_backend.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>

#include "backend/sim/sim_text.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/thread.h"

namespace pelton::backend {
namespace {

constexpr int64_t kIdleTurnNs = 50'000'000;  // the loop turns at least so often
constexpr int kBlockTokens = 16;             // as the own engine's KV blocks

struct Sequence {
  RequestId id = 0;
  SequenceRequest request;
  std::shared_ptr<DeltaSink> sink;
  int64_t submitted_ns = 0;
  int64_t due_ns = 0;           // of the next token
  uint64_t text_seed = 0;
  bool paused = false;
  std::string held;             // text that may be the beginning of a stop string
  std::vector<TokenOut> tokens; // of `held`
  Usage usage;
};

// The length of the longest end of `text` that begins one of `stops`.
size_t HeldBytes(std::string_view text, const std::vector<std::string>& stops) {
  size_t held = 0;
  for (const std::string& stop : stops) {
    for (size_t n = std::min(stop.size() - 1, text.size()); n > held; --n) {
      if (text.ends_with(std::string_view(stop).substr(0, n))) held = n;
    }
  }
  return held;
}

class SimBackend final : public Backend {
 public:
  explicit SimBackend(const SimOptions& options) : options_(options) {
    facts_.kind = "sim";
    facts_.architecture = "sim";
    facts_.context = options.context;
    facts_.vocab_size = sim::kVocabSize;
    facts_.sequences_max = options.slots + options.queue;
    facts_.kv_tokens = int64_t{options.slots} * options.context;
    stats_.heartbeat_ns = NowNs();
    thread_ = StartThread("sim", [this](std::stop_token stop) { Loop(stop); });
  }
  ~SimBackend() override {
    thread_.request_stop();
    wake_.notify_all();
    thread_.join();
  }

  const Facts& facts() const override { return facts_; }
  Result<std::vector<TokenId>> ChatTokens(const ChatPrompt& prompt) const override {
    return sim::EncodeChat(prompt);
  }
  Result<std::vector<TokenId>> Tokenize(std::string_view text,
                                        const TokenizeOptions& options) const override {
    return sim::EncodeText(text, options);
  }
  std::string Detokenize(std::span<const TokenId> ids, bool special) const override {
    return sim::DecodeIds(ids, special);
  }
  std::string TokenPiece(TokenId id) const override { return sim::PieceOf(id); }
  RequestId NextRequestId() override { return next_id_.fetch_add(1); }
  Status Submit(RequestId id, SequenceRequest request, std::shared_ptr<DeltaSink> sink) override;
  void Cancel(RequestId id) override { Tell(&cancels_, id); }
  void Resume(RequestId id) override { Tell(&resumes_, id); }
  Stats GetStats() const override {
    const std::lock_guard lock(mutex_);
    Stats stats = stats_;
    stats.waiting += static_cast<int>(inbox_.size());
    return stats;
  }
  void CloseIntake() override {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

 private:
  void Tell(std::vector<RequestId>* list, RequestId id) {
    {
      const std::lock_guard lock(mutex_);
      list->push_back(id);
    }
    wake_.notify_one();
  }
  void Loop(const std::stop_token& stop);
  void DrainInbox(const std::stop_token& stop);
  void Enqueue(Sequence&& sequence);
  void Apply(const std::vector<RequestId>& cancels, const std::vector<RequestId>& resumes);
  void DropExpired(int64_t now_ns);
  void Admit(int64_t now_ns);
  void Step(int64_t now_ns);
  bool Emit(Sequence* sequence, int64_t now_ns);
  void Finish(Sequence* sequence, FinishReason reason, std::string text, Status error = {},
              std::string stop_match = {});
  void Publish();
  bool Stalled() const {
    return options_.stall_after > 0 && generated_ >= static_cast<uint64_t>(options_.stall_after);
  }
  int64_t NextDueNs(int64_t now_ns) const;

  const SimOptions options_;
  Facts facts_;
  std::atomic<RequestId> next_id_{1};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Sequence> inbox_;        // guarded by mutex_
  std::vector<RequestId> cancels_;    // guarded by mutex_
  std::vector<RequestId> resumes_;    // guarded by mutex_
  Stats stats_;                       // guarded by mutex_
  bool closed_ = false;               // guarded by mutex_

  // Owned by the loop.
  std::deque<Sequence> waiting_;
  std::list<Sequence> running_;
  uint64_t generated_ = 0, prompt_tokens_ = 0, steps_ = 0;

  std::jthread thread_;
};

Status SimBackend::Submit(RequestId id, SequenceRequest request, std::shared_ptr<DeltaSink> sink) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return Unavailable("the server is shutting down");
    const int free_slots = options_.slots - stats_.running;
    const int queued = static_cast<int>(inbox_.size()) + stats_.waiting;
    if (queued >= options_.queue + std::max(0, free_slots)) {
      return ResourceExhausted(
                 fmt::format("{} requests are waiting already", options_.queue))
          .WithRetryAfter(1000);
    }
    Sequence sequence;
    sequence.id = id;
    sequence.request = std::move(request);
    sequence.sink = std::move(sink);
    sequence.submitted_ns = NowNs();
    inbox_.push_back(std::move(sequence));
  }
  wake_.notify_one();
  return OkStatus();
}

void SimBackend::Loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    DrainInbox(stop);
    if (Stalled()) continue;  // no heartbeat either
    const int64_t now_ns = NowNs();
    Admit(now_ns);
    Step(now_ns);
    Publish();
  }
  std::vector<RequestId> all;
  for (const Sequence& sequence : running_) all.push_back(sequence.id);
  for (const Sequence& sequence : waiting_) all.push_back(sequence.id);
  Apply(all, {});
}

int64_t SimBackend::NextDueNs(int64_t now_ns) const {
  int64_t due_ns = now_ns + kIdleTurnNs;
  for (const Sequence& sequence : running_) {
    if (!sequence.paused) due_ns = std::min(due_ns, sequence.due_ns);
  }
  return due_ns;
}

void SimBackend::DrainInbox(const std::stop_token& stop) {
  std::vector<RequestId> cancels, resumes;
  {
    std::unique_lock lock(mutex_);
    const int64_t now_ns = NowNs();
    const int64_t wait_ns = Stalled() ? kIdleTurnNs : NextDueNs(now_ns) - now_ns;
    wake_.wait_for(lock, std::chrono::nanoseconds(std::max<int64_t>(0, wait_ns)), [&] {
      return stop.stop_requested() || !inbox_.empty() || !cancels_.empty() || !resumes_.empty();
    });
    for (Sequence& sequence : inbox_) Enqueue(std::move(sequence));
    stats_.waiting += static_cast<int>(inbox_.size());
    inbox_.clear();
    cancels.swap(cancels_);
    resumes.swap(resumes_);
  }
  Apply(cancels, resumes);
}

void SimBackend::Apply(const std::vector<RequestId>& cancels,
                       const std::vector<RequestId>& resumes) {
  for (const RequestId id : cancels) {
    const auto is_it = [id](const Sequence& s) { return s.id == id; };
    if (const auto it = std::find_if(running_.begin(), running_.end(), is_it);
        it != running_.end()) {
      Finish(&*it, FinishReason::kCancelled, "");
      running_.erase(it);
    } else if (const auto queued = std::find_if(waiting_.begin(), waiting_.end(), is_it);
               queued != waiting_.end()) {
      Finish(&*queued, FinishReason::kCancelled, "");
      waiting_.erase(queued);
    }
  }
  const int64_t now_ns = NowNs();
  for (const RequestId id : resumes) {
    for (Sequence& sequence : running_) {
      if (sequence.id != id || !sequence.paused) continue;
      sequence.paused = false;
      sequence.due_ns = now_ns;
    }
  }
}

// Higher priority first, then earlier arrival.
void SimBackend::Enqueue(Sequence&& sequence) {
  const auto at = std::upper_bound(waiting_.begin(), waiting_.end(), sequence.request.priority,
                                   [](int priority, const Sequence& other) {
                                     return priority > other.request.priority;
                                   });
  waiting_.insert(at, std::move(sequence));
}

// As the own engine: what waits beyond its deadline is never started.
void SimBackend::DropExpired(int64_t now_ns) {
  std::erase_if(waiting_, [&](Sequence& sequence) {
    const int64_t deadline_ns = sequence.request.deadline_ns;
    if (deadline_ns == 0 || now_ns < deadline_ns) return false;
    Finish(&sequence, FinishReason::kError, "",
           DeadlineExceeded("the deadline passed while the request was queued"));
    return true;
  });
}

void SimBackend::Admit(int64_t now_ns) {
  DropExpired(now_ns);
  while (!waiting_.empty() && static_cast<int>(running_.size()) < options_.slots) {
    Sequence sequence = std::move(waiting_.front());
    waiting_.pop_front();
    const size_t prompt = sequence.request.prompt.size();
    sequence.usage.prompt_tokens = static_cast<int>(prompt);
    sequence.usage.queue_ns = now_ns - sequence.submitted_ns;
    sequence.usage.wait_places_ns = sequence.usage.queue_ns;
    sequence.usage.prompt_chunks = 1;
    prompt_tokens_ += prompt;
    sequence.due_ns =
        now_ns + static_cast<int64_t>((static_cast<double>(prompt) / options_.prefill +
                                       1 / options_.rate) * 1e9);
    uint64_t hash = 1;
    for (const TokenId id : sequence.request.prompt) hash = Mix64(hash ^ static_cast<uint64_t>(id));
    sequence.text_seed = sequence.request.temperature == 0.f
                             ? hash : Mix64(hash ^ Mix64(sequence.request.seed));
    running_.push_back(std::move(sequence));
  }
}

void SimBackend::Step(int64_t now_ns) {
  bool stepped = false;
  for (auto it = running_.begin(); it != running_.end() && !Stalled();) {
    if (it->paused || it->due_ns > now_ns) {
      ++it;
      continue;
    }
    stepped = true;
    it = Emit(&*it, now_ns) ? running_.erase(it) : std::next(it);
  }
  if (stepped) ++steps_;
}

// One token of one sequence; true when that was the last.
bool SimBackend::Emit(Sequence* sequence, int64_t now_ns) {
  const SequenceRequest& request = sequence->request;
  Usage& usage = sequence->usage;
  const int left = options_.context - usage.prompt_tokens;
  const uint64_t draw = Mix64(sequence->text_seed + static_cast<uint64_t>(usage.completion_tokens));
  const TokenId id = sim::kFirstWord + static_cast<TokenId>(draw % sim::kWords);
  sequence->held += sim::PieceOf(id);
  if (usage.completion_tokens++ == 0) usage.first_token_ns = now_ns - sequence->submitted_ns;
  usage.decode_steps = usage.completion_tokens - 1;
  ++generated_;
  if (request.top_logprobs >= 0) {
    TokenOut token{.id = id, .bytes = sim::PieceOf(id), .logprob = -0.25f, .top = {}};
    for (int i = 0; i < request.top_logprobs; ++i) {
      token.top.push_back({sim::PieceOf(sim::kFirstWord +
                                        (id - sim::kFirstWord + i) % sim::kWords),
                           -0.25f - static_cast<float>(i)});
    }
    sequence->tokens.push_back(std::move(token));
  }
  size_t first = std::string::npos;
  std::string match;
  for (const std::string& stop : request.stop) {
    const size_t at = sequence->held.find(stop);
    if (at < first) first = at, match = stop;
  }
  if (first != std::string::npos) {
    const size_t keep = first + (request.include_stop_in_text ? match.size() : 0);
    Finish(sequence, FinishReason::kStop, sequence->held.substr(0, keep), OkStatus(), std::move(match));
    return true;
  }
  if (usage.completion_tokens >= std::min(request.max_tokens, left)) {
    Finish(sequence, FinishReason::kLength, sequence->held);
    return true;
  }
  if (usage.completion_tokens >= options_.length && !request.ignore_eos) {
    Finish(sequence, FinishReason::kStop, sequence->held);
    return true;
  }
  const size_t out = sequence->held.size() - HeldBytes(sequence->held, request.stop);
  usage.total_ns = now_ns - sequence->submitted_ns;
  Delta delta;
  delta.text = sequence->held.substr(0, out);
  sequence->held.erase(0, out);
  if (sequence->held.empty()) delta.tokens = std::exchange(sequence->tokens, {});
  delta.usage = usage;
  sequence->due_ns = std::max(sequence->due_ns + static_cast<int64_t>(1e9 / options_.rate),
                              now_ns - kIdleTurnNs);
  sequence->paused = sequence->sink->OnDelta(std::move(delta)) == Flow::kPause;
  return false;
}

void SimBackend::Finish(Sequence* sequence, FinishReason reason, std::string text,
                        Status error, std::string stop_match) {
  sequence->usage.prompt_tokens = static_cast<int>(sequence->request.prompt.size());
  sequence->usage.total_ns = NowNs() - sequence->submitted_ns;
  Delta delta;
  delta.text = std::move(text);
  delta.tokens = std::move(sequence->tokens);
  delta.finish = reason;
  delta.stop_match = std::move(stop_match);
  delta.error = std::move(error);
  delta.usage = sequence->usage;
  sequence->sink->OnDelta(std::move(delta));
}

void SimBackend::Publish() {
  int blocks = 0;
  for (const Sequence& sequence : running_) {
    const int tokens = sequence.usage.prompt_tokens + sequence.usage.completion_tokens;
    blocks += (tokens + kBlockTokens - 1) / kBlockTokens;
  }
  const std::lock_guard lock(mutex_);
  stats_.running = static_cast<int>(running_.size());
  stats_.waiting = static_cast<int>(waiting_.size());
  stats_.kv_blocks = options_.slots * ((options_.context + kBlockTokens - 1) / kBlockTokens);
  stats_.kv_blocks_used = blocks;
  stats_.steps = steps_;
  stats_.prompt_tokens = prompt_tokens_;
  stats_.generated_tokens = generated_;
  stats_.heartbeat_ns = NowNs();
}

}  // namespace

std::unique_ptr<Backend> MakeSimBackend(const SimOptions& options) {
  return std::make_unique<SimBackend>(options);
}

}  // namespace pelton::backend
