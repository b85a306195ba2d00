// Admission: how many sequences and prompt tokens are inside at once, over all models, and how much
// of that one tenant may hold. What is refused is refused early, with a measured time to come back.
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
  }
};

class Admission;

// What a request holds; gives it back when destroyed. Moved, never copied.
class Ticket {
 public:
  Ticket() = default;
  Ticket(Ticket&& other) noexcept { *this = std::move(other); }
  Ticket& operator=(Ticket&& other) noexcept;
  ~Ticket() { Release(); }
  void Release();

 private:
  friend class Admission;
  Admission* admission_ = nullptr;
  std::string tenant_;
  int sequences_ = 0;
  int64_t tokens_ = 0;
};

class Admission {  // thread-safe; outlives its tickets
 public:
  Admission(const AdmissionOptions& options, const Clock& clock)
      : options_(options), clock_(clock) {}

  // RESOURCE_EXHAUSTED with retry-after: full. UNAVAILABLE: closed.
  Result<Ticket> Admit(const std::string& tenant, int sequences, int64_t tokens);
  void Close();  // refuses everything from now on

  int sequences() const;
  int64_t tokens() const;

 private:
  friend class Ticket;
  struct Held {
    int sequences = 0;
    int64_t tokens = 0;
  };
  void GiveBack(const std::string& tenant, int sequences, int64_t tokens);
  int64_t RetryAfterMsLocked(int sequences) const;

  const AdmissionOptions options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  Held total_;                          // guarded by mutex_
  std::map<std::string, Held> tenants_; // guarded by mutex_; only those that hold something
  bool closed_ = false;                 // guarded by mutex_
  // Time between sequences leaving, smoothed; the measure behind Retry-After. Guarded by mutex_.
  double gap_s_ = 0.1;
  int64_t last_leave_ns_ = 0;
};

}  // namespace pelton::serving
