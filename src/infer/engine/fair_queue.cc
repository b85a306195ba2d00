#include "engine/fair_queue.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace pelton::engine {

int FairQueue::Join(const std::string& tenant, double weight) {
  Advance();
  const auto [at, added] = index_.try_emplace(tenant, 0);
  if (added) {
    if (free_.empty()) {
      free_.push_back(static_cast<int>(tenants_.size()));
      tenants_.emplace_back();
      views_.emplace_back();
    }
    at->second = free_.back();
    free_.pop_back();
    tenants_[static_cast<size_t>(at->second)] = {.name = tenant, .time = now_ - kLead / weight,
                                                 .weight = weight, .used = true};
  }
  const int index = at->second;
  Tenant& it = tenants_[static_cast<size_t>(index)];
  it.weight = weight;
  since_change_ = last_joined_ >= 0 && last_joined_ != index
                      ? 0 : std::min(since_change_ + 1, kSeveralJoins);
  last_joined_ = index;
  if (it.alive++ == 0) {
    it.time = std::max(it.time, now_ - kLead / weight);
    ++present_;
    if (!added) --absent_;
  }
  views_[static_cast<size_t>(index)].weight = weight;
  return index;
}

void FairQueue::Leave(int tenant) {
  Tenant& it = tenants_[static_cast<size_t>(tenant)];
  if (BUG_IF(it.alive <= 0, "a sequence left a tenant that has none")) return;
  if (--it.alive > 0) return;
  Advance();
  --present_;
  ++absent_;
  views_[static_cast<size_t>(tenant)].weight = 0;
  if (present_ == 0) now_ = 0;  // and all are forgotten
  ForgetAbsent();
}

void FairQueue::Charge(int tenant, double cost) {
  const double weight = views_[static_cast<size_t>(tenant)].weight;
  if (weight > 0) tenants_[static_cast<size_t>(tenant)].time += cost / weight;
}

void FairQueue::Advance() {
  double smallest = std::numeric_limits<double>::infinity();
  for (const Tenant& tenant : tenants_) {
    if (tenant.alive > 0) smallest = std::min(smallest, tenant.time);
  }
  if (present_ > 0) now_ = std::max(now_, smallest);
}

// Of the absent only those are worth remembering that have used up some of their lead: the rest would
// begin with all of it again. All of them when nobody is present.
void FairQueue::ForgetAbsent() {
  const auto forget = [&](int index) {
    Tenant& tenant = tenants_[static_cast<size_t>(index)];
    index_.erase(tenant.name);
    tenant = {};
    free_.push_back(index);
    --absent_;
  };
  int least = -1;
  for (int i = 0; i < static_cast<int>(tenants_.size()); ++i) {
    const Tenant& tenant = tenants_[static_cast<size_t>(i)];
    if (!tenant.used || tenant.alive > 0) continue;
    if (present_ == 0 || tenant.time <= now_ - kLead / tenant.weight) {
      forget(i);
    } else if (least < 0 || tenant.time < tenants_[static_cast<size_t>(least)].time) {
      least = i;
    }
  }
  if (absent_ > kAbsentMax && least >= 0) forget(least);
}

}  // namespace pelton::engine
