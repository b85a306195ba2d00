#include "serving/service.h"

#include <utility>

#include "serving/prepare.h"

namespace pelton::serving {

Service::Service(const ServingOptions& options, Catalogue& catalogue, obs::Registry& registry,
                 const Clock& clock)
    : catalogue_(catalogue),
      registry_(registry),
      admission_(options.admission, clock),
      prep_(options.prep_threads, options.prep_queue) {
  registry.AddGauge("pelton_admitted_sequences", "Sequences inside, over all models.", {},
                    [this] { return static_cast<double>(admission_.sequences()); });
  registry.AddGauge("pelton_prep_queued", "Requests waiting for a prep thread.", {},
                    [this] { return static_cast<double>(prep_.queued()); });
}

std::shared_ptr<Generation> Service::NewGeneration(std::shared_ptr<Output> output,
                                                   int64_t arrived_ns) {
  return std::make_shared<Generation>(pump_, std::move(output), arrived_ns);
}

Status Service::Start(const std::shared_ptr<const Served>& model, const GenerateRequest& request,
                      const std::shared_ptr<Generation>& generation) {
  if (generation->cancelled()) return Cancelled("the client has gone");
  auto sequences = Prepare(request, *model->backend);
  if (!sequences.ok()) return sequences.status();
  int64_t tokens = 0;
  for (const auto& sequence : *sequences) tokens += static_cast<int64_t>(sequence.prompt.size());
  auto ticket = admission_.Admit(request.tenant, static_cast<int>(sequences->size()), tokens);
  if (!ticket.ok()) return ticket.status();
  return generation->Start(model, MetricsOf(model->name), *std::move(sequences),
                           *std::move(ticket));
}

void Service::OnLoaded(const std::string& model) {
  {
    const std::lock_guard lock(metrics_mutex_);
    if (metrics_.contains(model)) return;
  }
  MetricsOf(model);
  AddBackendGauges(registry_, model, [this, model] { return catalogue_.StatsOf(model); });
}

void Service::CloseIntake() {
  admission_.Close();
  catalogue_.CloseIntake();
}

std::shared_ptr<ModelMetrics> Service::MetricsOf(const std::string& model) {
  const std::lock_guard lock(metrics_mutex_);
  auto& metrics = metrics_[model];
  if (!metrics) metrics = std::make_shared<ModelMetrics>(registry_, model);
  return metrics;
}

}  // namespace pelton::serving
