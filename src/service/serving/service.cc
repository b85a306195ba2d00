#include "serving/service.h"

#include <algorithm>
#include <utility>

#include "serving/prepare.h"

namespace pelton::serving {

namespace {

struct PromptSize {
  int sequences = 0;
  size_t bytes = 0;    // of text, of all prompts once
  int64_t tokens = 0;  // of all sequences; estimated where there is text
};

PromptSize SizeOf(const GenerateRequest& request, const ModelMeasure& measure) {
  PromptSize size;
  size.sequences = static_cast<int>(request.prompts.size()) * request.n;
  for (const Prompt& prompt : request.prompts) {
    if (const auto* ids = std::get_if<TokenPrompt>(&prompt)) {
      size.tokens += static_cast<int64_t>(ids->size());
    } else if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
      size.bytes += text->text.size();
    } else {
      const auto& chat = std::get<backend::ChatPrompt>(prompt);
      size.bytes += chat.tools_json.size();
      for (const backend::Message& message : chat.messages) {
        size.bytes += message.content.size() + message.tool_calls_json.size();
      }
    }
  }
  size.tokens = (size.tokens + measure.TokensOfBytes(size.bytes)) * request.n;
  return size;
}

int64_t AnswerOf(const GenerateRequest& request, const ModelMeasure& measure) {
  const int64_t expected = measure.ExpectedAnswer();
  return request.max_tokens ? std::min<int64_t>(*request.max_tokens, expected) : expected;
}

}  // namespace

Service::Service(const ServingOptions& options, Catalogue& catalogue, obs::Registry& registry,
                 const Clock& clock)
    : catalogue_(catalogue),
      registry_(registry),
      clock_(clock),
      admission_(options.admission, clock),
      prep_(options.prep_threads, options.prep_queue) {
  registry.AddGauge("pelton_admitted_sequences", "Sequences inside, over all models.", {},
                    [this] { return static_cast<double>(admission_.sequences()); });
  registry.AddCounterFunction("pelton_admission_refused_total", "Requests refused as too many.", {},
                              [this] { return static_cast<double>(admission_.refused()); });
  registry.AddGauge("pelton_prep_queued", "Requests waiting for a prep thread.", {},
                    [this] { return static_cast<double>(prep_.queued()); });
}

std::shared_ptr<Generation> Service::NewGeneration(std::shared_ptr<Output> output,
                                                   int64_t arrived_ns) {
  return std::make_shared<Generation>(pump_, std::move(output), arrived_ns, &log_);
}

Status Service::Start(const std::shared_ptr<const Served>& model, const GenerateRequest& request,
                      const std::shared_ptr<Generation>& generation) {
  if (generation->cancelled()) return Cancelled("the client has gone");
  if (request.deadline_ns != 0 && NowNs() >= request.deadline_ns) {
    return DeadlineExceeded("the request's time was over before it was read");
  }
  const auto metrics = MetricsOf(model->name);
  const backend::Facts& facts = model->backend->facts();
  const PromptSize size = SizeOf(request, metrics->measure);
  Ask ask{.tenant = request.tenant, .weight = request.tenant_weight, .model = model->name,
          .sequences = size.sequences, .prompt_tokens = size.tokens,
          .kv_tokens = size.tokens + size.sequences * AnswerOf(request, metrics->measure),
          .sequences_max = facts.sequences_max, .kv_tokens_max = facts.kv_tokens,
          .deadline_ns = request.deadline_ns, .urgent = request.priority > 0};
  auto ticket = admission_.Admit(std::move(ask));
  if (!ticket.ok()) return ticket.status();
  auto sequences = Prepare(request, *model->backend);
  if (!sequences.ok()) return sequences.status();
  int64_t tokens = 0;
  int64_t answers = 0;
  for (const auto& sequence : *sequences) {
    tokens += static_cast<int64_t>(sequence.prompt.size());
    answers += std::min<int64_t>(sequence.max_tokens, metrics->measure.ExpectedAnswer());
  }
  metrics->measure.Tokenized(size.bytes * static_cast<size_t>(request.n), tokens);
  RETURN_IF_ERROR(ticket->Settle(tokens, tokens + answers));
  RequestRecord record{.id = request.id, .model = model->name, .tenant = request.tenant,
                       .arrived_s = clock_.WallS(), .priority = request.priority};
  return generation->Start(model, metrics, *std::move(sequences), *std::move(ticket),
                           std::move(record));
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
