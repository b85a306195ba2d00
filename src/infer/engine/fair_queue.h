// Weighted fair queueing over tenants: who has been served how much. Each tenant has a virtual time
// that grows by tokens served / weight, in prompt tokens (a generated one counts as many as its row
// costs on this machine, see Pace::GeneratedCost); the one with the smallest goes first. Tokens computed again
// after a preemption are not served twice. Who comes back after a pause starts at most kLead before the
// smallest virtual time of those that stayed: idling saves up no more than that. When nobody is left,
// all is forgotten.
// After start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) and virtual token counters (Sheng
// et al., OSDI 2024). Pure state without a clock; owned by the engine thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/scheduler.h"

namespace pelton::engine {

class FairQueue {
 public:
  // About one request, so that one who asks little gets it through at the pace of the machine and not
  // of its part. Over weight.
  static constexpr double kLead = 1024;
  static constexpr size_t kAbsentMax = 1024;  // tenants remembered that have nothing alive
  static constexpr int kSeveralJoins = 256;

  // One more sequence of `tenant` is alive. The index stays valid until as many have left as joined.
  int Join(const std::string& tenant, double weight);
  void Leave(int tenant);
  void Charge(int tenant, double cost);

  double VirtualTime(int tenant) const { return tenants_[static_cast<size_t>(tenant)].time; }
  int Alive(int tenant) const { return tenants_[static_cast<size_t>(tenant)].alive; }
  // By index; absent ones have weight 0.
  std::span<const TenantView> Views() const { return views_; }
  // Whether another tenant came than before it, within the last kSeveralJoins sequences.
  bool several() const { return since_change_ < kSeveralJoins; }
  size_t remembered() const { return index_.size(); }

 private:
  struct Tenant {
    std::string name{};
    double time = 0;
    double weight = 1;
    int alive = 0;
    bool used = false;
  };
  void Advance();
  void ForgetAbsent();

  std::vector<Tenant> tenants_;
  std::vector<TenantView> views_;  // beside tenants_
  std::unordered_map<std::string, int> index_;
  std::vector<int> free_;  // indices without a tenant
  double now_ = 0;         // smallest virtual time of those present; never falls
  int present_ = 0;
  int since_change_ = kSeveralJoins;  // sequences that joined since one of another tenant did
  int last_joined_ = -1;
  size_t absent_ = 0;
};

}  // namespace pelton::engine
