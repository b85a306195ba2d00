// Admission: what is let in, before anything costly is done for it. Bounded by sequences, prompt
// tokens and KV positions, by a tenant's share of these, and by the time that the queue would take at
// the measured rate. What is refused is refused at once, with a measured time to come back.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/status.h"

namespace pelton::serving {

struct AdmissionOptions {
  int sequences_max = 1024;
  int64_t tokens_max = int64_t{1} << 22;  // prompt tokens held
  // Share of each limit that one tenant may hold while another tenant holds any.
  double tenant_share = 0.5;
  double queue_s_max = 60;
  double kv_times_max = 16;
  bool several_tenants = false;  // there are keys of more than one

  template <typename V>
  void Fields(V& v) {
    v.Field("max-sequences", sequences_max,
            {.help = "Sequences (choices) inside at once, running and waiting; one more gets 429.",
             .min = 1, .max = 1'000'000});
    v.Field("max-prompt-tokens", tokens_max,
            {.help = "Prompt tokens of all requests inside at once; more get 429.", .min = 1});
    v.Field("tenant-share", tenant_share,
            {.help = "Part of these limits that one tenant may hold while another holds any.",
             .min = 0.01, .max = 1});
    v.Field("max-queue-s", queue_s_max,
            {.help = "Longest wait for the first step, at the measured rate, with which a request "
                     "is let in; beyond it 429 with Retry-After. 0: no such bound.",
             .min = 0, .max = 86'400});
    v.Field("max-kv-times", kv_times_max,
            {.help = "Work let in for a model, prompts and expected answers, in times what its KV "
                     "cache holds; more gets 429.", .min = 1, .max = 10'000});
  }
};

// What one request wants to bring in. Token counts may be estimates: Ticket::Settle mends them.
struct Ask {
  std::string tenant{};
  double weight = 1;
  std::string model{};
  int sequences = 1;
  int64_t prompt_tokens = 0;  // of all sequences
  int64_t kv_tokens = 0;      // prompts and expected answers
  int sequences_max = 0;      // of the model; 0: not known
  int64_t kv_tokens_max = 0;  // of the model; 0: not known
  int64_t deadline_ns = 0;    // monotonic; 0: none
  bool urgent = false;        // goes before the queue, so the queue's length says nothing
};

class Admission;

// What a request holds; gives it back when destroyed. Moved, never copied. Thread-compatible.
class Ticket {
 public:
  Ticket() = default;
  Ticket(Ticket&& other) noexcept { *this = std::move(other); }
  Ticket& operator=(Ticket&& other) noexcept;
  ~Ticket() { Release(); }
  void Release();

  // The true numbers. RESOURCE_EXHAUSTED when they are above the estimate and do not fit; then all is
  // given back.
  Status Settle(int64_t prompt_tokens, int64_t kv_tokens);
  // A prompt of so many tokens has been computed: it waits no more.
  void Started(int64_t prompt_tokens);

 private:
  friend class Admission;
  Admission* admission_ = nullptr;
  Ask ask_;
  int64_t queued_ = 0;  // prompt tokens not computed yet
};

class Admission {  // thread-safe; outlives its tickets
 public:
  Admission(const AdmissionOptions& options, const Clock& clock)
      : options_(options), clock_(clock) {}

  // RESOURCE_EXHAUSTED with retry-after: full. UNAVAILABLE: closed.
  Result<Ticket> Admit(Ask ask);
  void Close();  // refuses everything from now on

  int sequences() const;
  int64_t tokens() const;
  uint64_t refused() const;
  // Prompt tokens a second that `model` gets through while some wait; 0: not measured yet.
  double PromptRate(const std::string& model) const;
  int64_t queued_tokens(const std::string& model) const;

 private:
  friend class Ticket;
  struct Held {
    int sequences = 0;
    int64_t tokens = 0;
  };
  struct Waiting {
    int64_t tokens = 0;
    double weight = 1;
  };
  struct Model {
    int sequences = 0;
    int64_t kv_tokens = 0;
    int64_t queued = 0;
    std::map<std::string, Waiting> queues;  // by tenant; only those that wait
    std::map<std::string, int> tenants;     // sequences by tenant; only those with any
    // Prompt tokens computed and seconds in which some waited, both fading.
    double rate_tokens = 0, rate_seconds = 0;
    int64_t rate_seen_ns = 0;
  };

  Status CheckLocked(const Ask& ask);
  Status CheckModelLocked(const Ask& ask, Model& model);
  void TakeLocked(const Ask& ask);
  void ReturnLocked(const Ask& ask, int64_t queued);
  void UnqueueLocked(const Ask& ask, int64_t tokens, bool served);
  void MeasureLeavingLocked(int sequences);
  void MeasureLocked(Model& model, int64_t tokens);
  static double RateOf(const Model& model);
  // Prompt tokens that go before one more request of the tenant.
  static double AheadOf(const Ask& ask, const Model& model);
  Status RefuseLocked(std::string why, double wait_s);

  const AdmissionOptions options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Held total_;                           // guarded by mutex_, as all below
  std::map<std::string, Held> tenants_;  // only those that hold something
  std::map<std::string, Model> models_;
  bool closed_ = false;
  uint64_t refused_ = 0;
  // Time between sequences leaving, smoothed; the measure behind Retry-After.
  double gap_s_ = 0.1;
  int64_t last_leave_ns_ = 0;
};

}  // namespace pelton::serving
