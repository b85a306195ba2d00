// What must hold after every turn, whatever happened.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "world.h"

namespace pelton::sim {

using engine::FinishReason;
using engine::Sequence;

const Sequence* World::Alive(RequestId id) const {
  for (const auto& sequence : loop_->sequences()) {
    if (sequence->request.id == id) return sequence.get();
  }
  return nullptr;
}

std::vector<World::Before> World::Picture() {
  std::vector<Before> picture;
  const auto add = [&](const Client& client, const Sequence* sequence) {
    if (client.cancel_turn >= 0) return;
    picture.push_back({.id = client.id,
                       .priority = client.priority,
                       .running = sequence != nullptr && sequence->running,
                       .paused = client.paused,
                       .deadline_ns = client.deadline_ns,
                       .started = sequence != nullptr && sequence->started,
                       .progress = sequence == nullptr ? 0 : sequence->computed,
                       .tokens = sequence == nullptr ? 0 : sequence->known()});
  };
  for (const auto& sequence : loop_->sequences()) {
    add(*Find(sequence->request.id), sequence.get());
  }
  for (const RequestId id : arriving_) add(*Find(id), nullptr);
  // Queued work past its deadline goes before anything is planned.
  std::erase_if(picture, [&](const Before& b) {
    return !b.started && b.deadline_ns != 0 && clock_.NowNs() >= b.deadline_ns;
  });
  return picture;
}

// In the order that the plan was made in.
void World::PutInRanks(std::vector<Before>* before) const {
  std::map<RequestId, size_t> rank;
  for (const RequestId id : loop_->last_ranks()) rank.emplace(id, rank.size());
  std::sort(before->begin(), before->end(), [&](const Before& a, const Before& b) {
    return rank.at(a.id) < rank.at(b.id);
  });
}

// Each position is charged once, to its own tenant, by weight; and nobody gains on the clock of all
// by being away.
void World::CheckTenants() {
  for (const auto& sequence : loop_->sequences()) {
    if (sequence->served < sequence->computed || sequence->served > sequence->known()) {
      Fail(fmt::format("request {} is charged {} positions of {}", sequence->request.id,
                       sequence->served, sequence->computed));
    }
  }
  const auto& queue = loop_->fair_queue();
  size_t present = 0;
  for (const engine::TenantView& tenant : queue.Views()) present += tenant.weight > 0 ? 1 : 0;
  std::set<int> alive;
  for (const auto& sequence : loop_->sequences()) alive.insert(sequence->tenant);
  if (present != alive.size()) Fail("present tenants and tenants with sequences differ");
  if (queue.remembered() > static_cast<size_t>(config_.tenants)) Fail("too many tenants kept");
  if (alive.empty() && queue.remembered() != 0) Fail("an empty house remembers tenants");
}

void World::CheckBlocks() {
  for (const auto& sequence : loop_->sequences()) {
    const auto& blocks = sequence->blocks;
    const int want = (sequence->computed + kernels::kKvBlockTokens - 1) / kernels::kKvBlockTokens;
    if (static_cast<int>(blocks.size()) != want) {
      Fail(fmt::format("request {} has computed {} positions and holds {} blocks",
                       sequence->request.id, sequence->computed, blocks.size()));
    }
    if (!sequence->running && sequence->computed != 0) {
      Fail(fmt::format("request {} waits with {} positions", sequence->request.id,
                       sequence->computed));
    }
    if (sequence->computed >= sequence->known() || sequence->known() > config_.context) {
      Fail(fmt::format("request {}: {} of {} positions, context {}", sequence->request.id,
                       sequence->computed, sequence->known(), config_.context));
    }
  }
  CheckSharing();
}

// Every block is free, idle or held; it has as many references as sequences that hold it; and who
// shares one is of one tenant and agrees on every token up to its end.
void World::CheckSharing() {
  const kv::PrefixCache& cache = loop_->cache();
  std::map<kv::BlockId, std::pair<int, const Sequence*>> held;
  for (const auto& sequence : loop_->sequences()) {
    for (size_t i = 0; i < sequence->blocks.size(); ++i) {
      auto& [holders, first] = held[sequence->blocks[i]];
      const size_t end = (i + 1) * kernels::kKvBlockTokens;
      if (++holders == 1) {
        first = sequence.get();
      } else if (static_cast<int>(end) > sequence->computed ||
                 static_cast<int>(end) > first->computed ||
                 sequence->request.tenant != first->request.tenant || first->blocks[i] != sequence->blocks[i] ||
                 !std::equal(sequence->tokens.begin(), sequence->tokens.begin() + static_cast<long>(end),
                             first->tokens.begin())) {
        Fail(fmt::format("requests {} and {} share a block of different texts",
                         first->request.id, sequence->request.id));
      }
    }
  }
  for (const auto& [block, use] : held) {
    if (use.first != cache.pool().references(block)) {
      Fail(fmt::format("block {} has {} holders and {} references", block, use.first,
                       cache.pool().references(block)));
    }
  }
  if (static_cast<int>(held.size()) + cache.available() != config_.blocks) {
    Fail(fmt::format("{} blocks held, {} free and {} idle of {}", held.size(), cache.pool().free(),
                     cache.idle(), config_.blocks));
  }
  if (const char* what = cache.Inconsistency()) Fail(what);
}

void World::CheckPlan() {
  int rows = 0;
  int prompt_rows = 0;
  bool drafts = false;
  bool decodes = false;
  for (const engine::Plan::Work& work : loop_->last_plan().work) {
    rows += work.rows + work.draft_rows;
    drafts = drafts || work.draft_rows > 0;
    decodes = decodes || work.decodes;
    if (!work.decodes) prompt_rows += work.rows;
    if (work.draft_rows < 0 || (work.draft_rows > 0 && work.rows != 1)) Fail("a misplaced draft");
    if (work.rows < 1 || work.rows > config_.limits.prefill_chunk) Fail("a chunk out of bounds");
  }
  // Beside decoding rows prompts keep the pace.
  if (decodes && prompt_rows > loop_->Stats().prompt_rows_allowed) {
    Fail("prompts beyond their pace");
  }
  if (rows > config_.limits.step_tokens) Fail("a step above its token budget");
  if (drafts && rows > config_.limits.draft_rows) Fail("drafts in a step too large for them");
  if (static_cast<int>(loop_->last_plan().work.size()) > config_.limits.max_running) {
    Fail("more sequences in a step than max_running");
  }
  const int alive_max = config_.limits.max_running + config_.max_waiting;
  if (inbox_.alive() > alive_max || static_cast<int>(loop_->sequences().size()) > alive_max) {
    Fail("more requests alive than allowed");
  }
  if (inbox_.alive() != static_cast<int>(loop_->sequences().size())) {
    Fail("inbox and loop disagree on who is alive");
  }
  for (size_t i = 1; i < loop_->sequences().size(); ++i) {
    const Sequence& a = *loop_->sequences()[i - 1];
    const Sequence& b = *loop_->sequences()[i];
    const bool ordered = a.request.priority > b.request.priority ||
                         (a.request.priority == b.request.priority &&
                          (a.tenant != b.tenant || a.arrival < b.arrival));
    if (!ordered) Fail("sequences are out of order");
  }
}

// The first unpaused running sequence, or one that ranks above it, gains positions in every turn; when
// a waiting one of higher priority takes over, that one does. Only the grace of a paused reader may
// hold up the queue.
void World::CheckProgress(const std::vector<Before>& before) {
  const auto first = [&](bool running) {
    return std::find_if(before.begin(), before.end(), [&](const Before& b) {
      return b.running == running && !b.paused;
    });
  };
  const auto runner = first(true);
  const auto waiter = first(false);
  const bool runner_leads = runner != before.end() &&
                            (waiter == before.end() || runner->priority >= waiter->priority);
  if (!runner_leads && waiter == before.end()) return;
  const Before& leader = runner_leads ? *runner : *waiter;
  const auto progressed = [&](const Before& b) {
    const Sequence* now = Alive(b.id);
    return now == nullptr || now->computed > b.progress;  // or finished
  };
  const bool within_grace = config_.pause_grace_ns > 0 && SomeonePausedHoldsBlocks();
  if (!runner_leads && within_grace) return;
  const Sequence* now = Alive(leader.id);
  if (!runner_leads && now != nullptr && now->load != nullptr) return;
  const bool someone = runner_leads && std::any_of(before.begin(), runner, progressed);
  if (!someone && !progressed(leader)) {
    Fail(fmt::format("request {} is first in rank and does not progress", leader.id));
  }
}

bool World::SomeonePausedHoldsBlocks() const {
  return std::any_of(loop_->sequences().begin(), loop_->sequences().end(),
                     [](const auto& sequence) { return sequence->paused && sequence->running; });
}

// Whoever was admitted in this turn leaves nobody waiting who ranks higher and could run.
void World::CheckQueueOrder(const std::vector<Before>& before) {
  for (size_t i = 0; i < before.size(); ++i) {
    const Sequence* one = Alive(before[i].id);
    if (before[i].running || one == nullptr || !one->running) continue;
    for (size_t j = 0; j < i; ++j) {
      const Sequence* other = Alive(before[j].id);
      if (other == nullptr || other->running || before[j].paused || other->waits) continue;
      Fail(fmt::format("request {} overtakes {}", before[i].id, before[j].id));
    }
  }
}

void World::CheckCancelled() {
  for (const Client& client : clients_) {
    if (client.cancel_turn < 0 || turn_ - client.cancel_turn < 1) continue;
    if (!client.finish || Alive(client.id) != nullptr) {
      Fail(fmt::format("request {} lives on after its cancel", client.id));
    }
  }
}

namespace {

struct Answer {
  size_t tokens = 0;
  std::string text;
  bool stopped = false;
};

// What a right engine says to `client`: tokens one by one, stops looked for after each.
Answer AnswerOf(const Client& client, const std::vector<int32_t>& tokens) {
  Answer answer;
  for (const int32_t token : tokens) {
    ++answer.tokens;
    answer.text += static_cast<char>(token);
    size_t longest = 0;
    for (const std::string& stop : client.stop) {
      if (answer.text.ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest == 0) continue;
    if (!client.include_stop) answer.text.resize(answer.text.size() - longest);
    answer.stopped = true;
    return answer;
  }
  return answer;
}

}  // namespace

void World::CheckFinish(const Client& client) {
  const auto wrong = [&](const char* what) {
    Fail(fmt::format("request {}: {} ({} tokens, finish {})", client.id, what,
                     client.tokens.size(), static_cast<int>(*client.finish)));
  };
  if (client.usage.completion_tokens != static_cast<int>(client.tokens.size())) {
    wrong("tokens told and tokens counted differ");
  }
  if (client.usage.prompt_tokens != static_cast<int>(client.prompt.size())) {
    wrong("prompt tokens are counted wrong");
  }
  if (client.usage.cached_tokens >= static_cast<int>(client.prompt.size()) ||
      client.usage.cached_tokens % kernels::kKvBlockTokens != 0) {
    wrong("cached tokens are counted wrong");
  }
  if (*client.finish == FinishReason::kError) {
    ++outcome_.expired;
    if (client.error.code() != StatusCode::kDeadlineExceeded) wrong("an error nobody caused");
    if (client.deadline_ns == 0 || clock_.NowNs() < client.deadline_ns) wrong("expired too early");
    if (!client.tokens.empty() || client.usage.queue_ns != 0) wrong("expired after it began");
    return;
  }
  const auto expected = model_.Expected(client.prompt, client.max_tokens);
  if (*client.finish == FinishReason::kCancelled) {
    ++outcome_.cancelled;
    if (client.cancel_turn < 0) wrong("cancelled by nobody");
    if (client.tokens.size() > expected.size() ||
        !std::equal(client.tokens.begin(), client.tokens.end(), expected.begin())) {
      wrong("tokens differ from the model's");
    }
    if (client.text != AnswerOf(client, client.tokens).text) wrong("text differs from its tokens");
    return;
  }
  const Answer answer = AnswerOf(client, expected);
  if (answer.stopped != (*client.finish == FinishReason::kStop)) wrong("the reason is wrong");
  if (client.tokens != std::vector<int32_t>(expected.begin(),
                                            expected.begin() + static_cast<long>(answer.tokens))) {
    wrong("tokens differ from the model's");
  }
  if (client.text != answer.text) wrong("text differs from the model's");
}

}  // namespace pelton::sim
