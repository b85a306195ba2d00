// One account of memory for the whole process: whoever takes much (weights, KV cache, buffers of a
// step) asks here first and is refused with numbers, instead of finding out from the kernel.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/machine_limits.h"
#include "base/status.h"

namespace pelton {

// A number of bytes as people write it: "4GiB" and "4Gi" are 4·2^30, "4GB" and "4G" are 4·10^9.
struct ByteSize {
  uint64_t bytes = 0;
  static Result<ByteSize> FromFlag(std::string_view word);
};

// "512 MiB", rounded up, so that "needs" is never too small.
std::string MiBText(uint64_t bytes);

class MemoryBudget {  // thread-safe; outlives its holds
 public:
  struct Limits {
    uint64_t limit_bytes = 0;    // of the process, reserve included
    uint64_t reserve_bytes = 0;  // for what is not asked for here: program, connections, texts
    std::string source;          // "--memory", "cgroup" or "machine"
  };
  // The reserve: 64 MiB and a thirty-second of the limit, at most 1 GiB.
  static uint64_t ReserveOf(uint64_t limit_bytes);
  // `wanted` 0: what the machine and its control groups leave to this process. FAILED_PRECONDITION:
  // more than there is, or not more than the reserve.
  static Result<Limits> ChooseLimits(uint64_t wanted, const MemoryState& state);

  explicit MemoryBudget(Limits limits) : limits_(std::move(limits)) {}

  // What somebody holds; given back when destroyed. Moved, never copied.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept { *this = std::move(other); }
    Hold& operator=(Hold&& other) noexcept;
    ~Hold();
    uint64_t bytes() const { return bytes_; }

   private:
    friend class MemoryBudget;
    MemoryBudget* budget_ = nullptr;
    std::string name_;
    uint64_t bytes_ = 0;
  };

  // RESOURCE_EXHAUSTED, saying what is asked for, what is free and who holds the rest.
  Result<Hold> Take(std::string name, uint64_t bytes);

  const Limits& limits() const { return limits_; }
  uint64_t held_bytes() const;
  uint64_t free_bytes() const;  // of the limit less the reserve
  std::vector<std::pair<std::string, uint64_t>> Holders() const;  // by name; equal names added up
  // "budget of 900 MiB (cgroup), 65 MiB of it reserved; held: a/weights 98 MiB, a/kv 20 MiB"
  std::string Text() const;

 private:
  uint64_t FreeLocked() const;
  std::string TextLocked() const;

  const Limits limits_;
  mutable std::mutex mutex_;
  uint64_t held_bytes_ = 0;                // guarded by mutex_
  std::map<std::string, uint64_t> holders_; // guarded by mutex_
};

// What one model is given of the budget. A default one has no budget: then only the machine's own
// limits count (tests, the command line). Copyable.
struct MemoryShare {
  MemoryBudget* budget = nullptr;
  std::string owner;         // the model; the first part of its holders' names
  // Models still to come: how many, and the weights of all together.
  int others = 0;
  uint64_t others_bytes = 0;

  Result<MemoryBudget::Hold> Take(std::string_view part, uint64_t bytes) const;
  uint64_t Free() const;
  // A KV cache of the default size: an equal part of what is free once the others have weights.
  uint64_t KvDefault() const;
  std::string Text() const;
};

}  // namespace pelton
