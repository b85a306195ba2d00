// The service that every API calls: a request and an output in, a generation under way out.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "obs/metrics.h"
#include "serving/admission.h"
#include "serving/catalogue.h"
#include "serving/generation.h"
#include "serving/prep_pool.h"
#include "serving/pump.h"
#include "serving/request.h"
#include "serving/request_log.h"

namespace pelton::serving {

struct ServingOptions {
  int prep_threads = 1;
  int prep_queue = 512;
  AdmissionOptions admission;

  template <typename V>
  void Fields(V& v) {
    v.Field("prep-threads", prep_threads,
            {.help = "Threads that read requests, render templates and tokenize.",
             .min = 1, .max = 64});
    v.Field("prep-queue", prep_queue,
            {.help = "Requests waiting for those threads; one more gets 503.",
             .min = 1, .max = 100'000});
    admission.Fields(v);
  }
};

class Service {  // thread-safe
 public:
  Service(const ServingOptions& options, Catalogue& catalogue, obs::Registry& registry,
          const Clock& clock);

  Catalogue& catalogue() { return catalogue_; }
  PrepPool& prep() { return prep_; }
  const Admission& admission() const { return admission_; }
  const RequestLog& requests() const { return log_; }

  // For OnClosed and OnDrained to reach before anything runs.
  std::shared_ptr<Generation> NewGeneration(std::shared_ptr<Output> output, int64_t arrived_ns);

  // Admits by estimate, prepares, settles and submits; on a prep thread. `model` is what
  // Catalogue::Find gave. DEADLINE_EXCEEDED when the request's time is over already.
  Status Start(const std::shared_ptr<const Served>& model, const GenerateRequest& request,
               const std::shared_ptr<Generation>& generation);

  // Called for each model when it has been opened: its metrics exist from then on, and go on when
  // it is unloaded, loaded again or swapped.
  void OnLoaded(const std::string& model);
  // Refuses new work; what runs goes on.
  void CloseIntake();
  // Ends what still runs, soon; its clients are told.
  void CancelAll() { pump_.CancelAll(); }

 private:
  std::shared_ptr<ModelMetrics> MetricsOf(const std::string& model);

  RequestLog log_;
  Catalogue& catalogue_;
  obs::Registry& registry_;
  const Clock& clock_;
  Admission admission_;
  std::mutex metrics_mutex_;
  std::map<std::string, std::shared_ptr<ModelMetrics>> metrics_;  // guarded by metrics_mutex_
  Pump pump_;
  PrepPool prep_;  // last: its tasks use everything above
};

}  // namespace pelton::serving
