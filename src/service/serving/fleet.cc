#include "serving/fleet.h"

#include <utility>

#include "base/log.h"
#include "base/thread.h"

namespace pelton::serving {

Fleet::Fleet(Catalogue& catalogue, Opener open, Loaded loaded)
    : catalogue_(catalogue), open_(std::move(open)), loaded_(std::move(loaded)) {
  fleet_ = StartThread("fleet", [this](std::stop_token stop) {
    for (int tick = 1; !stop.stop_requested(); ++tick) {
      catalogue_.WaitForTick(stop, kTickMs);
      catalogue_.Tick(tick % kTicksPerProgress == 0);
    }
  });
  load_ = StartThread("load", [this](std::stop_token stop) {
    while (!stop.stop_requested()) {
      catalogue_.DestroyRetired();
      if (const auto job = catalogue_.TakeJob()) {
        RunJob(*job);
      } else {
        catalogue_.WaitForWork(stop);
      }
    }
  });
}

Fleet::~Fleet() {
  load_.request_stop();
  load_.join();
  fleet_.request_stop();
  fleet_.join();
}

void Fleet::RunJob(const LoadJob& job) {
  auto opened = open_(job);
  while (!opened.ok() && opened.status().code() == StatusCode::kResourceExhausted &&
         catalogue_.EvictIdle(job)) {
    catalogue_.DestroyRetired();
    opened = open_(job);
  }
  if (opened.ok() && loaded_) loaded_(job.name);
  catalogue_.FinishJob(job, std::move(opened));
}

}  // namespace pelton::serving
