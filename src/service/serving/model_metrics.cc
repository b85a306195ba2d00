#include "serving/model_metrics.h"

#include <string>

#include "base/clock.h"

namespace pelton::serving {
namespace {

using backend::FinishReason;

obs::Labels LabelsOf(std::string_view model) { return {{"model", std::string(model)}}; }

obs::Counter* FinishedCounter(obs::Registry& registry, std::string_view model,
                              FinishReason reason) {
  return &registry.GetCounter(
      "pelton_sequences_finished_total", "Sequences ended, by reason.",
      {{"model", std::string(model)}, {"reason", std::string(FinishReasonName(reason))}});
}

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
    case FinishReason::kError: return "error";
  }
  return "error";
}

ModelMetrics::ModelMetrics(obs::Registry& registry, std::string_view model)
    : prompt_tokens(registry.GetCounter("pelton_prompt_tokens_total",
                                        "Prompt tokens of ended sequences.", LabelsOf(model))),
      generated_tokens(registry.GetCounter("pelton_generated_tokens_total",
                                           "Tokens generated.", LabelsOf(model))),
      cached_tokens(registry.GetCounter("pelton_cached_prompt_tokens_total",
                                        "Prompt tokens taken from the prefix cache.",
                                        LabelsOf(model))),
      finished{FinishedCounter(registry, model, FinishReason::kStop),
               FinishedCounter(registry, model, FinishReason::kLength),
               FinishedCounter(registry, model, FinishReason::kCancelled),
               FinishedCounter(registry, model, FinishReason::kError)},
      queue_s(registry.GetHistogram("pelton_queue_seconds", "Wait before the first step.",
                                    obs::LatencyBounds(), LabelsOf(model))),
      first_token_s(registry.GetHistogram("pelton_time_to_first_token_seconds",
                                          "From the arrival of a request to its first token.",
                                          obs::LatencyBounds(), LabelsOf(model))),
      token_gap_s(registry.GetHistogram("pelton_inter_token_seconds",
                                        "Time between tokens of one sequence.",
                                        obs::TokenGapBounds(), LabelsOf(model))),
      request_s(registry.GetHistogram("pelton_generation_seconds",
                                      "From the arrival of a request to its last token.",
                                      obs::LatencyBounds(), LabelsOf(model))) {}

void AddBackendGauges(obs::Registry& registry, std::string_view model,
                      const std::function<backend::Stats()>& stats) {
  const auto gauge = [&](std::string_view name, std::string_view help, auto read) {
    registry.AddGauge(name, help, LabelsOf(model),
                      [stats, read] { return static_cast<double>(read(stats())); });
  };
  const auto counter = [&](std::string_view name, std::string_view help, auto read) {
    registry.AddCounterFunction(name, help, LabelsOf(model), [stats, read] {
      return static_cast<double>(read(stats()));
    });
  };
  const auto running = [](const backend::Stats& s) { return s.running; };
  const auto waiting = [](const backend::Stats& s) { return s.waiting; };
  const auto used_share = [](const backend::Stats& s) {
    return s.kv_blocks == 0 ? 0. : static_cast<double>(s.kv_blocks_used) / s.kv_blocks;
  };
  gauge("pelton_sequences_running", "Sequences in the current steps.", running);
  gauge("pelton_sequences_waiting", "Sequences queued.", waiting);
  gauge("pelton_kv_blocks", "KV blocks there are.",
        [](const backend::Stats& s) { return s.kv_blocks; });
  gauge("pelton_kv_blocks_used", "KV blocks held by sequences.",
        [](const backend::Stats& s) { return s.kv_blocks_used; });
  gauge("pelton_heartbeat_age_seconds", "Time since the generation loop last turned.",
        [](const backend::Stats& s) {
          return static_cast<double>(NowNs() - s.heartbeat_ns) * 1e-9;
        });
  counter("pelton_steps_total", "Steps of the generation loop.",
          [](const backend::Stats& s) { return s.steps; });
  counter("pelton_preemptions_total", "Sequences taken out of a batch to make room.",
          [](const backend::Stats& s) { return s.preemptions; });
  counter("pelton_computed_tokens_total", "Rows of all steps, of prompts and of answers.",
          [](const backend::Stats& s) { return s.computed_tokens; });
  const auto queried = [](const backend::Stats& s) { return s.prefix_queried_tokens; };
  const auto hits = [](const backend::Stats& s) { return s.prefix_hit_tokens; };
  counter("pelton_prefix_cache_queried_tokens_total", "Prompt tokens looked up in the prefix cache.",
          queried);
  counter("pelton_prefix_cache_hit_tokens_total", "Of them, found there.", hits);
  counter("pelton_prefix_cache_evictions_total", "Blocks evicted from the prefix cache.",
          [](const backend::Stats& s) { return s.prefix_evictions; });
  gauge("pelton_prefix_cache_idle_blocks", "KV blocks kept that no sequence holds.",
        [](const backend::Stats& s) { return s.prefix_idle_blocks; });
  counter("vllm:prefix_cache_queries_total", "As vLLM: prompt tokens looked up.", queried);
  counter("vllm:prefix_cache_hits_total", "As vLLM: of them, found.", hits);
  const auto drafts = [](const backend::Stats& s) { return s.drafts; };
  const auto drafted = [](const backend::Stats& s) { return s.draft_tokens; };
  const auto accepted = [](const backend::Stats& s) { return s.accepted_draft_tokens; };
  counter("pelton_drafts_total", "Times that tokens were guessed for a sequence's step.", drafts);
  counter("pelton_draft_tokens_total", "Tokens guessed and checked.", drafted);
  counter("pelton_accepted_draft_tokens_total", "Guessed tokens that were right.", accepted);
  counter("vllm:spec_decode_num_drafts_total", "As vLLM: times that tokens were guessed.", drafts);
  counter("vllm:spec_decode_num_draft_tokens_total", "As vLLM: tokens guessed.", drafted);
  counter("vllm:spec_decode_num_accepted_tokens_total", "As vLLM: guessed tokens that were right.",
          accepted);
  gauge("vllm:num_requests_running", "As vLLM: sequences in the current steps.", running);
  gauge("vllm:num_requests_waiting", "As vLLM: sequences queued.", waiting);
  gauge("vllm:kv_cache_usage_perc", "As vLLM: KV blocks used, from 0 to 1.", used_share);
}

}  // namespace pelton::serving
