#include "world.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "sampling/testing/plain_table.h"

namespace pelton::sim {

namespace {

constexpr int kTurnsMax = 200'000;  // after the last arrival, pauses of readers included
constexpr int kSpokenTokens = 20;  // control characters: one byte, valid UTF-8

class ClientSink final : public engine::DeltaSink {
 public:
  ClientSink(World& world, Client& client) : world_(world), client_(client) {}
  engine::Flow OnDelta(engine::Delta&& delta) override {
    return world_.Hear(client_, std::move(delta));
  }

 private:
  World& world_;
  Client& client_;
};

int Between(Random& random, int low, int high) {
  return low + static_cast<int>(random.Below(static_cast<uint64_t>(high - low + 1)));
}

// Tenant t has the weight t + 1.
engine::testing::FakeModelOptions ModelOptions(FakeClock& clock, const WorldConfig& config) {
  engine::testing::FakeModelOptions options;
  options.vocab_size = 24;
  options.spoken_tokens = kSpokenTokens;
  // Texts that repeat themselves for a while, so that guesses are right, then wrong, then right.
  options.memory_tokens = 1;
  options.surprise_every = 12;
  options.on_forward = [&](const models::BatchView& batch) {
    clock.AdvanceNs(config.step_ns + config.row_ns * static_cast<int64_t>(batch.tokens.size()));
  };
  return options;
}

WorldConfig FirstConfig(Random& random) { return ConfigOf(random); }

}  // namespace

WorldConfig ConfigOf(Random& random) {
  WorldConfig c;
  c.limits.block_tokens = kernels::kKvBlockTokens;
  c.limits.max_running = Between(random, 1, 8);
  c.limits.step_tokens = c.limits.max_running + Between(random, 0, 60);
  c.limits.prefill_chunk = Between(random, 1, 40);
  if (random.Below(4) != 0) c.limits.draft_rows = Between(random, 1, 24);
  const int context_blocks = Between(random, 1, 8);
  c.context = context_blocks * c.limits.block_tokens - Between(random, 0, 14);
  c.blocks = context_blocks + Between(random, 0, 20);
  c.max_waiting = Between(random, 0, 12);
  c.arrival_turns = Between(random, 20, 120);
  c.arrivals_a_turn = 0.05 + random.Uniform() * 0.6;
  c.cancel_chance = random.Below(2) == 0 ? 0. : random.Uniform() * 0.1;
  c.pause_chance = random.Below(3) == 0 ? 0. : random.Uniform() * 0.5;
  c.resume_chance = 0.02 + random.Uniform() * 0.5;
  c.repeat_chance = random.Below(3) == 0 ? 0. : random.Uniform();
  for (uint8_t& byte : c.prefix.key) byte = static_cast<uint8_t>(random.Below(256));
  c.prefix.on = random.Below(8) != 0;
  c.prefix.hooks.hash_bits = random.Below(4) == 0 ? Between(random, 0, 4) : 128;
  c.disk = c.prefix.on && random.Below(12) == 0;
  c.disk_blocks_a_turn = random.Uniform() * 4;
  c.restarts = c.disk ? Between(random, 1, 2) : 0;
  c.pause_grace_ns = random.Below(3) == 0 ? 0 : Between(random, 1, 200'000'000);
  c.tenants = random.Below(3) == 0 ? 1 : Between(random, 2, 4);
  c.step_ns = random.Below(3) == 0 ? 0 : Between(random, 1, 30'000'000);
  c.row_ns = Between(random, 0, 2'000'000);
  c.tbt_target_ns = random.Below(2) == 0 ? 0 : Between(random, 1, 100'000'000);
  return c;
}

World::World(uint64_t seed, bool verbose)
    : seed_(seed), verbose_(verbose), random_(Mix64(seed)), config_(FirstConfig(random_)),
      model_(ModelOptions(clock_, config_)), team_({.threads = 1, .pin = false}),
      inbox_(config_.limits.max_running + config_.max_waiting, clock_) {
  Start();
}

World::~World() {
  loop_.reset();
  disk_.reset();
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

void World::Start() {
  loop_.reset();
  disk_.reset();
  engine::PrefixOptions prefix = config_.prefix;
  if (config_.disk) {
    if (folder_.empty()) {
      std::string pattern = (std::filesystem::temp_directory_path() / "pelton-sim-XXXXXX").string();
      if (mkdtemp(pattern.data()) == nullptr) Fail("no folder for the disk");
      folder_ = pattern;
      // The folder would draw a key at random, and names of blocks, and which of them collide, follow
      // from the key: the seed has to give it.
      std::filesystem::create_directory(folder_ + "/cache");
      std::ofstream key(folder_ + "/cache/key", std::ios::binary);
      key.write(reinterpret_cast<const char*>(config_.prefix.key.data()),
                static_cast<std::streamsize>(config_.prefix.key.size()));
      key.close();
      std::filesystem::permissions(folder_ + "/cache/key", std::filesystem::perms::owner_read |
                                                               std::filesystem::perms::owner_write);
    }
    auto disk = kv::DiskCache::Open({.folder = folder_ + "/cache",
                                     .bytes_max = uint64_t{400} * static_cast<uint64_t>(config_.blocks),
                                     .own_thread = false,
                                     .staged_bytes_max = 1000,
                                     .queued_bytes_max = 2000});
    if (!disk.ok()) Fail(disk.status().message());
    if (disk.ok()) disk_ = *std::move(disk);
    prefix.disk = disk_.get();
  }
  loop_ = std::make_unique<engine::Loop>(
      engine::LoopParts{.model = model_, .tokenizer = tokenizer_, .team = team_, .clock = clock_,
                        .inbox = inbox_},
      config_.limits, config_.pause_grace_ns,
      *kv::KvStorage::Create(model_.info().layers, config_.blocks, model_.info().kv_block_bytes),
      prefix, config_.tbt_target_ns);
}

Outcome World::Run() {
  Event(fmt::format("world {}: {} blocks, context {}, running {}, waiting {}, step {}, chunk {}, "
                    "drafts {}",
                    seed_, config_.blocks, config_.context, config_.limits.max_running,
                    config_.max_waiting, config_.limits.step_tokens, config_.limits.prefill_chunk,
                    config_.limits.draft_rows));
  RunToEnd();
  for (int i = 0; i < config_.restarts && outcome_.violation.empty(); ++i) {
    Event("restart");
    Start();
    ++outcome_.restarts;
    RunToEnd();
  }
  outcome_.turns = turn_;
  return outcome_;
}

void World::RunToEnd() {
  const int arrivals_end = turn_ + config_.arrival_turns;
  while (turn_ < arrivals_end && outcome_.violation.empty()) {
    RandomEvents();
    Turn();
  }
  // No more arrivals: dead readers are given up, then everything must come to its end in a number
  // of steps that follows from the work left: the first in rank gains a position a step, and every
  // preemption may mean a context computed again. Turns without a step do not count; CheckProgress
  // says when they may be.
  int64_t steps_allowed = static_cast<int64_t>(loop_->Stats().steps) + 300;
  const auto preemptions_before = loop_->Stats().preemptions;
  for (Client& client : clients_) {
    if (client.finish) continue;
    if (client.dead && client.cancel_turn < 0) Cancel(client);
    steps_allowed += static_cast<int64_t>(client.prompt.size()) + client.max_tokens;
  }
  const int last_turn = turn_ + kTurnsMax;
  while (inbox_.alive() > 0 && outcome_.violation.empty()) {
    ResumeSome();
    Turn();
    const engine::EngineStats stats = loop_->Stats();
    const auto again = static_cast<int64_t>(stats.preemptions - preemptions_before);
    if (static_cast<int64_t>(stats.steps) > steps_allowed + again * config_.context ||
        turn_ > last_turn) {
      Fail(fmt::format("{} requests starve", inbox_.alive()));
    }
  }
  if (outcome_.violation.empty()) {
    if (loop_->cache().available() != config_.blocks) Fail("blocks are leaked at the end");
    for (const Client& client : clients_) {
      if (!client.finish) Fail(fmt::format("request {} never heard its finish", client.id));
    }
  }
  outcome_.preemptions += loop_->Stats().preemptions;
  outcome_.refused = inbox_.refused();
  outcome_.drafted += loop_->Stats().draft_tokens;
  outcome_.accepted += loop_->Stats().accepted_draft_tokens;
  outcome_.hit_tokens += loop_->Stats().prefix_hit_tokens;
  outcome_.evictions += loop_->Stats().prefix_evictions;
  outcome_.loaded_blocks += loop_->Stats().prefix_loaded_blocks;
}

void World::Turn() {
  ++turn_;
  clock_.AdvanceNs(Between(random_, 0, 5'000'000));
  auto before = Picture();
  loop_->Turn(0);
  PutInRanks(&before);
  arriving_.clear();
  if (disk_ != nullptr) {
    double blocks = config_.disk_blocks_a_turn * 2 * random_.Uniform();
    for (; blocks > random_.Uniform() && disk_->Work(); blocks -= 1.) {
    }
  }
  for (Client& client : clients_) client.resume_sent = false;
  CheckBlocks();
  CheckPlan();
  CheckTenants();
  CheckProgress(before);
  CheckQueueOrder(before);
  CheckCancelled();
}

void World::RandomEvents() {
  double arrivals = config_.arrivals_a_turn;
  if (random_.Below(20) == 0) arrivals += 6.;  // a burst
  while (random_.Uniform() < arrivals) {
    Arrive();
    arrivals -= 1.;
  }
  if (random_.Uniform() < config_.cancel_chance && !clients_.empty()) {
    Cancel(clients_[random_.Below(clients_.size())]);
  }
  if (random_.Below(50) == 0) inbox_.Cancel(clients_.size() + 1000);  // unknown
  ResumeSome();
}

void World::Arrive() {
  engine::EngineRequest request;
  Client& client = clients_.emplace_back();
  client.id = request.id = clients_.size();
  client.priority = request.priority = random_.Below(5) == 0 ? Between(random_, -1, 2) : 0;
  // The first tenant asks more than all others together.
  const int tenant = random_.Below(2) == 0 ? 0 : Between(random_, 0, config_.tenants - 1);
  client.tenant = request.tenant = "t" + std::to_string(tenant);
  request.tenant_weight = tenant + 1;
  if (random_.Below(6) == 0) {
    client.deadline_ns = request.deadline_ns = clock_.NowNs() + Between(random_, 1, 200'000'000);
  }
  const int prompt_max = std::max(1, config_.context - 1);
  const bool repeats = random_.Uniform() < config_.repeat_chance && clients_.size() > 1;
  const int prompt_tokens = repeats || random_.Below(3) == 0 ? Between(random_, 1, prompt_max)
                                                  : Between(random_, 1, std::min(20, prompt_max));
  for (int i = 0; i < prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random_.Below(kSpokenTokens)));
  }
  if (repeats) {
    // Begins as an earlier one did, or goes on where its answer ended.
    const Client& earlier = clients_[random_.Below(clients_.size() - 1)];
    std::vector<int32_t> before = earlier.prompt;
    before.insert(before.end(), earlier.tokens.begin(), earlier.tokens.end());
    const size_t common = std::min({before.size(), static_cast<size_t>(prompt_tokens),
                                    1 + random_.Below(static_cast<uint64_t>(2 * prompt_max))});
    std::copy_n(before.begin(), common, request.prompt.begin());
  }
  client.prompt = request.prompt;
  request.max_tokens = Between(random_, 1, 2 * config_.context);
  client.max_tokens = std::min(request.max_tokens, config_.context - prompt_tokens);
  request.sampling.temperature = 0.f;
  request.sampling.top_logprobs = random_.Below(4) == 0 ? 1 : -1;
  for (uint64_t n = random_.Below(3); n > 0; --n) {
    std::string stop;
    for (uint64_t m = 1 + random_.Below(3); m > 0; --m) {
      stop += static_cast<char>(random_.Below(kSpokenTokens));
    }
    if (stop.size() > 1 || random_.Below(4) == 0) request.stop.push_back(stop);
  }
  client.stop = request.stop;
  client.include_stop = request.include_stop_in_text = random_.Below(2) == 0;
  client.slow = random_.Below(2) == 0;
  client.dead = client.slow && random_.Below(4) == 0;

  const bool full = inbox_.alive() >= config_.limits.max_running + config_.max_waiting;
  auto sequence = std::make_unique<engine::Sequence>(
      std::move(request), std::make_shared<ClientSink>(*this, client), tokenizer_,
      model_.info().vocab_size, sampling::testing::PlainTable(), config_.context, clock_.NowNs());
  const Status status = inbox_.Put(std::move(sequence));
  if (status.ok() == full) Fail(fmt::format("request {}: the bound does not hold", client.id));
  Event(fmt::format("request {} of {} ({} + {} tokens, priority {}): {}", client.id, client.tenant,
                    prompt_tokens, client.max_tokens, client.priority,
                    status.ok() ? "accepted" : "refused"));
  ++outcome_.requests;
  if (status.ok()) {
    arriving_.push_back(client.id);
  } else {
    clients_.pop_back();  // its id goes to the next one
  }
}

void World::Cancel(Client& client) {
  Event(fmt::format("cancel {}", client.id));
  if (!client.finish && client.cancel_turn < 0) client.cancel_turn = turn_;
  inbox_.Cancel(client.id);
}

void World::ResumeSome() {
  for (Client& client : clients_) {
    if (!client.paused || client.finish || client.dead) continue;
    if (random_.Uniform() >= config_.resume_chance) continue;
    Event(fmt::format("resume {}", client.id));
    client.paused = false;
    client.resume_sent = true;
    inbox_.Resume(client.id);
  }
}

engine::Flow World::Hear(Client& client, engine::Delta&& delta) {
  if (client.finish) Fail(fmt::format("request {} hears more after its finish", client.id));
  if (client.paused && !delta.finish) {
    Fail(fmt::format("request {} hears something while paused", client.id));
  }
  client.text += delta.text;
  for (const engine::TokenOut& token : delta.tokens) client.tokens.push_back(token.id);
  client.usage = delta.usage;
  client.finish = delta.finish;
  client.error = delta.error;
  Event(fmt::format("request {} hears {} tokens, {} in all{}", client.id, delta.tokens.size(),
                    client.tokens.size(), client.finish ? ", its last" : ""));
  if (client.finish) {
    CheckFinish(client);
    return engine::Flow::kContinue;
  }
  const bool pause = client.slow && random_.Uniform() < config_.pause_chance;
  client.paused = pause;
  return pause ? engine::Flow::kPause : engine::Flow::kContinue;
}

void World::Event(const std::string& text) {
  uint64_t hash = static_cast<uint64_t>(turn_);
  for (const char c : text) hash = Mix64(hash ^ static_cast<unsigned char>(c));
  outcome_.digest = Mix64(outcome_.digest ^ hash);
  if (verbose_) std::printf("%5d  %s\n", turn_, text.c_str());
}

void World::Fail(const std::string& text) {
  if (outcome_.violation.empty()) outcome_.violation = fmt::format("turn {}: {}", turn_, text);
}

}  // namespace pelton::sim
