// `pelton bench --machine`: what this machine can do at best, without a model.
#pragma once

#include "base/status.h"

namespace pelton::app {

// threads 0: the budget of affinity and quota. Takes some ten seconds; says on standard error what
// it is at.
Status RunMachineBench(int threads, bool json);

}  // namespace pelton::app
