// The worker team: one a machine, pinned, spinning between the pieces of a step and parked between
// steps. The loaded models take their steps in turn (Turn). No OpenMP, whose barrier collapses when
// something else shares the cores.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace pelton::nn {

struct TeamOptions {
  int threads = 1;        // including the caller of ParallelFor
  bool pin = true;        // worker i on the i-th CPU of the affinity mask
  int spin_us = 200;      // how long a worker spins for the next piece before it parks
};

class Team {
 public:
  explicit Team(const TeamOptions& options);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const;    // threads there are
  int active() const;  // that take part in the next ParallelFor: 1 … size()

  // How many threads take part from the next ParallelFor on (clamped to 1 … size()), and how long
  // an idle one spins. The others sleep without waking for steps, so that a shrunken CPU quota is
  // not spent on waiting. Any thread may call it at any time; results do not depend on it.
  void SetLimits(int active, int spin_us);
  int spin_us() const;

  // Calls body(begin, end, worker) over [0, n) in pieces of at most `grain`, from all workers and
  // the caller, and returns when every piece is done. Pieces are claimed dynamically; which worker
  // ran which piece must not matter to the result. Only the holder of the Turn may call it; not
  // from inside a body.
  template <typename Body>
  void ParallelFor(int64_t n, int64_t grain, Body&& body) {
    using B = std::remove_reference_t<Body>;
    Run(n, grain, [](void* context, int64_t begin, int64_t end, int worker) {
      (*static_cast<B*>(context))(begin, end, worker);
    }, const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Held by an engine for one step. Fair: waiting engines go in order of arrival.
  class [[nodiscard]] Turn {
   public:
    explicit Turn(Team& team);
    ~Turn();
    // Lets whoever waits have a turn first, and takes the next one after that. For long work
    // (loading a model) beside models that run.
    void Yield();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Team& team_;
  };

 private:
  using Piece = void (*)(void* context, int64_t begin, int64_t end, int worker);
  void Run(int64_t n, int64_t grain, Piece piece, void* context);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pelton::nn
