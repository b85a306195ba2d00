// One job at a time. Its pieces are dealt to the workers in contiguous ranges, so that each streams
// one stretch of memory; who is done with its own range takes from the others'. A range is one
// 64-bit word that also names the job:
//
//   ticket = job number (24 bits) | end of the range (20 bits) | next piece (20 bits)
//
// A claim is fetch_add(1); it holds when next < end. The description of the job (plain fields) is
// written before the tickets are published and stays until all pieces are done, so only the holder
// of a valid claim reads it; a worker that wakes late finds spent tickets or those of a later job,
// never pieces of one that is over. The caller works too, and never waits for a parked worker.
//
// Workers beyond `active` get no range and sleep on that word (the bench), apart from the parked
// ones, so that a job does not wake them. One that is benched with a range of its own, or taken from
// the bench too late, leaves its pieces to the others.
#include "nn/team.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/assert.h"
#include "base/cpu.h"
#include "base/thread.h"

namespace pelton::nn {
namespace {

constexpr int kPieceBits = 20;
constexpr uint64_t kPieceMask = (uint64_t{1} << kPieceBits) - 1;
constexpr int64_t kPiecesMax = 1 << 18;  // over-claims (one a worker a job) must not reach 2^20
constexpr int kThreadsMax = 1024;
constexpr int kSpinsBetweenClocks = 64;
constexpr int kSpinsBeforeYield = 20000;  // a worker lost its core: some 100 µs

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

int64_t NowNs() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

void FutexWait(std::atomic<uint32_t>& word, uint32_t seen) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

void FutexWakeAll(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, kThreadsMax, nullptr, nullptr, 0);
}

uint64_t EndOf(uint64_t ticket) { return (ticket >> kPieceBits) & kPieceMask; }
uint64_t NextOf(uint64_t ticket) { return ticket & kPieceMask; }
bool HasWork(uint64_t ticket) { return NextOf(ticket) < EndOf(ticket); }

struct alignas(64) Range {
  std::atomic<uint64_t> ticket{0};
};

}  // namespace

struct Team::Impl {
  // Constant after construction.
  TeamOptions options;

  // Set by any thread.
  std::atomic<uint32_t> active{1};
  std::atomic<int> spin_us{0};

  // The running job; see the top of the file.
  Piece piece = nullptr;
  void* context = nullptr;
  int64_t n = 0;
  int64_t grain = 1;
  uint64_t job = 0;

  std::vector<Range> ranges;  // one a worker
  alignas(64) std::atomic<uint64_t> done{0};  // pieces of the running job
  alignas(64) std::atomic<uint32_t> wake{0};  // bumped when parked workers are wanted
  std::atomic<int> parked{0};
  std::atomic<bool> stopping{false};
  std::atomic<bool> running{false};

  // Turns, in order of arrival.
  std::mutex turn_mutex;
  std::condition_variable turn_changed;
  uint64_t turn_next = 0;
  uint64_t turn_now = 0;

  std::vector<std::jthread> threads;

  uint64_t WorkOn(Range& range, int worker);
  void WorkOnAll(int worker);
  void WorkerLoop(int worker, std::vector<int> cpus);
  void Park(int worker);
  void SitOut(int worker);
  void WakeParked();
};

// Claims and runs pieces until the range has none left; how many it ran.
uint64_t Team::Impl::WorkOn(Range& range, int worker) {
  uint64_t ran = 0;
  while (HasWork(range.ticket.load(std::memory_order_relaxed))) {
    const uint64_t claim = range.ticket.fetch_add(1, std::memory_order_acq_rel);
    if (!HasWork(claim)) break;
    const int64_t begin = static_cast<int64_t>(NextOf(claim)) * grain;
    piece(context, begin, std::min(n, begin + grain), worker);
    ++ran;
  }
  return ran;
}

// Own range first, then what others have left. Tells `done` after each range, in one word for all.
void Team::Impl::WorkOnAll(int worker) {
  const int size = options.threads;
  for (int i = 0; i < size; ++i) {
    const uint64_t ran = WorkOn(ranges[static_cast<size_t>((worker + i) % size)], worker);
    if (ran > 0) done.fetch_add(ran, std::memory_order_release);
  }
}

void Team::Impl::WakeParked() {
  if (parked.load(std::memory_order_seq_cst) == 0) return;
  wake.fetch_add(1, std::memory_order_seq_cst);
  FutexWakeAll(wake);
}

void Team::Impl::Park(int worker) {
  const uint32_t seen = wake.load(std::memory_order_seq_cst);
  parked.fetch_add(1, std::memory_order_seq_cst);
  // After this worker shows as parked, a new job either sees it and bumps `wake`, or was already
  // published and is seen here.
  const Range& own = ranges[static_cast<size_t>(worker)];
  if (!HasWork(own.ticket.load(std::memory_order_seq_cst)) && !stopping.load()) {
    FutexWait(wake, seen);
  }
  parked.fetch_sub(1, std::memory_order_seq_cst);
}

// On the bench until `active` changes.
void Team::Impl::SitOut(int worker) {
  const uint32_t seen = active.load(std::memory_order_seq_cst);
  if (static_cast<uint32_t>(worker) < seen || stopping.load()) return;
  FutexWait(active, seen);
}

void Team::Impl::WorkerLoop(int worker, std::vector<int> cpus) {
  if (options.pin && !cpus.empty()) {
    PinCurrentThread(cpus[static_cast<size_t>(worker) % cpus.size()]);
  }
  const Range& own = ranges[static_cast<size_t>(worker)];
  int64_t idle_since = NowNs();
  int spins = 0;
  while (!stopping.load(std::memory_order_relaxed)) {
    if (static_cast<uint32_t>(worker) >= active.load(std::memory_order_relaxed)) {
      SitOut(worker);
      idle_since = NowNs();
      continue;
    }
    if (HasWork(own.ticket.load(std::memory_order_acquire))) {
      WorkOnAll(worker);
      idle_since = NowNs();
      spins = 0;
      continue;
    }
    Pause();
    if (++spins % kSpinsBetweenClocks != 0) continue;
    if (NowNs() - idle_since < int64_t{spin_us.load(std::memory_order_relaxed)} * 1000) {
      continue;
    }
    Park(worker);
    idle_since = NowNs();
  }
}

Team::Team(const TeamOptions& options) : impl_(std::make_unique<Impl>()) {
  impl_->options = options;
  impl_->options.threads = std::clamp(options.threads, 1, kThreadsMax);
  impl_->ranges = std::vector<Range>(static_cast<size_t>(impl_->options.threads));
  impl_->active.store(static_cast<uint32_t>(impl_->options.threads));
  impl_->spin_us.store(std::max(0, options.spin_us));
  const std::vector<int> cpus = AffinityCpus();
  for (int i = 1; i < impl_->options.threads; ++i) {
    impl_->threads.push_back(StartThread("team-" + std::to_string(i),
                                         [impl = impl_.get(), i, cpus](std::stop_token) {
                                           impl->WorkerLoop(i, cpus);
                                         }));
  }
}

Team::~Team() {
  impl_->stopping.store(true);
  impl_->wake.fetch_add(1);
  FutexWakeAll(impl_->wake);
  // A benched worker that was about to sleep must not: the word changes before it is woken.
  impl_->active.store(kThreadsMax);
  FutexWakeAll(impl_->active);
  impl_->threads.clear();  // joins
}

int Team::size() const { return impl_->options.threads; }

int Team::active() const { return static_cast<int>(impl_->active.load()); }

int Team::spin_us() const { return impl_->spin_us.load(); }

void Team::SetLimits(int active, int spin_us) {
  impl_->spin_us.store(std::max(0, spin_us));
  const auto wanted = static_cast<uint32_t>(std::clamp(active, 1, size()));
  if (impl_->active.exchange(wanted, std::memory_order_seq_cst) != wanted) {
    FutexWakeAll(impl_->active);
  }
}

void Team::Run(int64_t n, int64_t grain, Piece piece, void* context) {
  if (n <= 0) return;
  Impl& t = *impl_;
  grain = std::max({grain, int64_t{1}, (n + kPiecesMax - 1) / kPiecesMax});
  const int64_t pieces = (n + grain - 1) / grain;
  const auto active = static_cast<int>(t.active.load(std::memory_order_relaxed));
  if (active == 1 || pieces == 1) {
    for (int64_t begin = 0; begin < n; begin += grain) {
      piece(context, begin, std::min(n, begin + grain), 0);
    }
    return;
  }
  CHECK(!t.running.exchange(true, std::memory_order_relaxed), "ParallelFor inside ParallelFor");
  t.piece = piece;
  t.context = context;
  t.n = n;
  t.grain = grain;
  t.done.store(0, std::memory_order_relaxed);
  t.job = (t.job + 1) & 0xffffff;
  int64_t from = 0;
  for (int i = 0; i < active; ++i) {
    const int64_t to = pieces * (i + 1) / active;
    t.ranges[static_cast<size_t>(i)].ticket.store(
        (t.job << (2 * kPieceBits)) | (static_cast<uint64_t>(to) << kPieceBits) |
            static_cast<uint64_t>(from),
        std::memory_order_seq_cst);
    from = to;
  }
  t.WakeParked();
  t.WorkOnAll(0);
  for (int spins = 0; t.done.load(std::memory_order_acquire) != static_cast<uint64_t>(pieces);
       ++spins) {
    if (spins > kSpinsBeforeYield) {
      std::this_thread::yield();
    } else {
      Pause();
    }
  }
  t.running.store(false, std::memory_order_relaxed);
}

Team::Turn::Turn(Team& team) : team_(team) {
  Impl& t = *team_.impl_;
  std::unique_lock lock(t.turn_mutex);
  const uint64_t mine = t.turn_next++;
  t.turn_changed.wait(lock, [&] { return t.turn_now == mine; });
}

void Team::Turn::Yield() {
  Impl& t = *team_.impl_;
  std::unique_lock lock(t.turn_mutex);
  if (t.turn_next == t.turn_now + 1) return;  // nobody waits
  const uint64_t mine = t.turn_next++;
  ++t.turn_now;
  t.turn_changed.notify_all();
  t.turn_changed.wait(lock, [&] { return t.turn_now == mine; });
}

Team::Turn::~Turn() {
  Impl& t = *team_.impl_;
  {
    std::lock_guard lock(t.turn_mutex);
    ++t.turn_now;
  }
  t.turn_changed.notify_all();
}

}  // namespace pelton::nn
