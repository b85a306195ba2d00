// What an operator, or a user wondering about a slow answer, asks: the models' part of GET /v1/engine
// and the last requests.
#include <charconv>
#include <cmath>
#include <optional>

#include "api/admin/handlers.h"
#include "api/status_map.h"
#include "api/timings.h"
#include "base/clock.h"

namespace pelton::api::admin {
namespace {

constexpr size_t kRequestsDefault = 100;

using codec::JsonWriter;

void WriteSpread(const backend::Spread& spread, JsonWriter* w) {
  w->Array();
  for (size_t i = 0; i < spread.counts.size(); ++i) {
    w->Object().Key("up_to");
    i < spread.bounds.size() ? w->Value(spread.bounds[i]) : w->Null();
    w->Key("count").Value(spread.counts[i]).End();
  }
  w->End();
}

void WriteModel(const serving::Served& served, const serving::Admission& admission,
                JsonWriter* w) {
  const backend::Stats s = served.backend->GetStats();
  w->Object().Key("model").Value(served.name).Key("backend").Value(served.backend->facts().kind);
  w->Key("running").Value(s.running).Key("waiting").Value(s.waiting);
  w->Key("queued_prompt_tokens").Value(admission.queued_tokens(served.name));
  w->Key("prompt_tokens_per_s").Value(std::round(admission.PromptRate(served.name) * 10) / 10);
  w->Key("kv").Object().Key("blocks").Value(s.kv_blocks).Key("blocks_used").Value(s.kv_blocks_used);
  w->Key("tokens").Value(served.backend->facts().kv_tokens).End();
  w->Key("steps").Value(s.steps).Key("preemptions").Value(s.preemptions);
  w->Key("prompt_tokens").Value(s.prompt_tokens);
  w->Key("generated_tokens").Value(s.generated_tokens);
  w->Key("rows").Object().Key("decode").Value(s.decode_rows).Key("prompt").Value(s.prompt_rows);
  w->End();
  w->Key("prefix_cache").Object().Key("queried_tokens").Value(s.prefix_queried_tokens);
  w->Key("hit_tokens").Value(s.prefix_hit_tokens).Key("evictions").Value(s.prefix_evictions);
  w->Key("idle_blocks").Value(s.prefix_idle_blocks).End();
  w->Key("speculation").Object().Key("drafts").Value(s.drafts).Key("tokens").Value(s.draft_tokens);
  w->Key("accepted").Value(s.accepted_draft_tokens).End();
  w->Key("pace").Object();
  w->Key("target_ms").Value(static_cast<double>(s.tbt_target_ns / 1000) / 1000);
  w->Key("prompt_rows").Value(s.prompt_rows_allowed).End();
  w->Key("step_ms");
  WriteSpread(s.step_ms, w);
  w->Key("batch");
  WriteSpread(s.batch, w);
  w->Key("last_turn_ms_ago").Value((NowNs() - s.heartbeat_ns) / 1'000'000);
  w->End();
}

void WriteRecord(const serving::RequestRecord& record, JsonWriter* w) {
  w->Object().Key("id").Value(record.id).Key("model").Value(record.model);
  w->Key("tenant").Value(record.tenant).Key("arrived").Value(record.arrived_s);
  w->Key("priority").Value(-record.priority).Key("finish").Value(record.finish);
  w->Key("timings");
  WriteTimings(record.timings, w);
  w->End();
}

// "limit=20" and nothing else; nothing when it is something else.
std::optional<size_t> LimitOf(std::string_view query) {
  if (query.empty()) return kRequestsDefault;
  constexpr std::string_view kName = "limit=";
  if (!query.starts_with(kName)) return std::nullopt;
  query.remove_prefix(kName.size());
  size_t limit = 0;
  const auto [end, error] = std::from_chars(query.data(), query.data() + query.size(), limit);
  const bool whole = error == std::errc() && end == query.data() + query.size();
  if (!whole || limit < 1 || limit > serving::RequestLog::kRecordsMax) return std::nullopt;
  return limit;
}

void AnswerJson(const Call& call, std::string body) {
  net::Response response = JsonResponse(std::move(body));
  response.headers.Add("cache-control", "no-store");
  call.exchange->Respond(std::move(response));
}

}  // namespace

void WriteModels(const App& app, JsonWriter* w) {
  const serving::Admission& admission = app.service.admission();
  w->Key("models").Array();
  for (const auto& served : app.service.catalogue().Ready()) WriteModel(*served, admission, w);
  w->End();
  w->Key("admission").Object().Key("sequences").Value(admission.sequences());
  w->Key("prompt_tokens").Value(admission.tokens()).Key("refused").Value(admission.refused()).End();
}

void Requests(const Call& call) {
  const std::optional<size_t> limit = LimitOf(call.exchange->head().query);
  if (!limit) {
    call.exchange->Respond(ErrorResponse(
        InvalidArgument("the query can only be limit=N, with N from 1 to 1000").WithParam("limit")));
    return;
  }
  const bool all = call.caller.role == identity::Role::kOperator;
  const auto tenant = all ? std::nullopt : std::optional<std::string>(call.caller.tenant);
  std::string body;
  JsonWriter w(&body);
  w.Object().Key("object").Value("list").Key("data").Array();
  for (const auto& record : call.app.service.requests().Last(tenant, *limit)) {
    WriteRecord(record, &w);
  }
  w.End().End();
  AnswerJson(call, std::move(body));
}

}  // namespace pelton::api::admin
