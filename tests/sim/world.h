// One simulated world: an engine loop with a fake clock and model, and the people who use it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "engine/loop.h"
#include "engine/testing/fake_model.h"
#include "engine/testing/fake_tokenizer.h"

namespace pelton::sim {

using engine::RequestId;

struct WorldConfig {
  int blocks = 0;
  int context = 0;
  int max_waiting = 0;
  engine::SchedulerLimits limits;
  int arrival_turns = 0;       // how long requests arrive
  double arrivals_a_turn = 0;  // mean
  double cancel_chance = 0;    // of one alive request, a turn
  double pause_chance = 0;     // of a slow reader, a delta
  double resume_chance = 0;    // of each paused reader, a turn
  double repeat_chance = 0;    // that a prompt begins as an earlier one
  engine::PrefixOptions prefix;
  bool disk = false;           // the prefix cache has one
  double disk_blocks_a_turn = 0;  // mean of what it reads and writes
  int restarts = 0;            // of the process, each with arrivals of its own
  int64_t pause_grace_ns = 0;
  int tenants = 1;
  int64_t step_ns = 0, row_ns = 0;  // what a step takes, and each row of it
  int64_t tbt_target_ns = 0;        // 0: automatic
};
WorldConfig ConfigOf(Random& random);

// A request from outside: what was asked, what was heard.
struct Client {
  RequestId id = 0;
  int priority = 0;
  int64_t deadline_ns = 0;
  std::string tenant;
  std::vector<int32_t> prompt;
  int max_tokens = 0;  // after clamping
  std::vector<std::string> stop;
  bool include_stop = false;
  bool slow = false;   // pauses now and then
  bool dead = false;   // once paused never resumes; is cancelled in the end

  int cancel_turn = -1;
  bool paused = false;
  bool resume_sent = false;
  std::vector<int32_t> tokens;
  std::string text;
  std::optional<engine::FinishReason> finish;
  Status error;
  engine::Usage usage;
};

struct Outcome {
  std::string violation;  // empty: all held
  int turns = 0;
  uint64_t digest = 0;    // of all events, in order
  uint64_t requests = 0, preemptions = 0, cancelled = 0, expired = 0, refused = 0,
           hit_tokens = 0, evictions = 0, loaded_blocks = 0, restarts = 0;
  uint64_t drafted = 0, accepted = 0;  // tokens
};

class World {
 public:
  World(uint64_t seed, bool verbose);
  ~World();
  Outcome Run();

  // What a client hears; called by its sink.
  engine::Flow Hear(Client& client, engine::Delta&& delta);

 private:
  // The picture before a turn, with the mail that the turn will find already counted in.
  struct Before {
    RequestId id = 0;
    int priority = 0;
    bool running = false;
    bool paused = false;
    int64_t deadline_ns = 0;
    bool started = false;
    int progress = 0;  // positions computed
    int tokens = 0;
  };

  void Start();     // a process: disk and loop
  void RunToEnd();  // arrivals, then until all is quiet
  void Turn();
  void RandomEvents();
  void Arrive();
  void Cancel(Client& client);
  void ResumeSome();
  void Event(const std::string& text);
  void Fail(const std::string& text);
  Client* Find(RequestId id) { return id == 0 || id > clients_.size() ? nullptr : &clients_[id - 1]; }

  // invariants.cc
  std::vector<Before> Picture();
  void PutInRanks(std::vector<Before>* before) const;
  void CheckTenants();
  void CheckBlocks();
  void CheckSharing();
  void CheckPlan();
  void CheckProgress(const std::vector<Before>& before);
  void CheckQueueOrder(const std::vector<Before>& before);
  void CheckCancelled();
  void CheckFinish(const Client& client);
  bool SomeonePausedHoldsBlocks() const;
  const engine::Sequence* Alive(RequestId id) const;

  const uint64_t seed_;
  const bool verbose_;
  Random random_;
  const WorldConfig config_;
  FakeClock clock_;
  engine::testing::FakeModel model_;
  engine::testing::FakeTokenizer tokenizer_;
  nn::Team team_;
  engine::Inbox inbox_;
  std::string folder_;  // of the disk, empty: none
  std::unique_ptr<kv::DiskCache> disk_;
  std::unique_ptr<engine::Loop> loop_;
  std::deque<Client> clients_;  // index = id - 1; references stay valid
  std::vector<RequestId> arriving_;  // in the inbox
  int turn_ = 0;
  Outcome outcome_;
};

}  // namespace pelton::sim
