#include "load/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "codec/json_write.h"

namespace pelton::load {
namespace {

constexpr size_t kErrorsMax = 5;

double Seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Requests that were under way together, as `Summary::decode_tokens_per_s` has it.
class Round {
 public:
  void Add(const Record& record) {
    records_.push_back(&record);
    sent_ns_ = std::min(sent_ns_, record.sent_ns);
    end_ns_ = std::max(end_ns_, record.end_ns);
    auto& [first, last] = streams_.try_emplace(record.stream, kNever, 0).first->second;
    first = std::min(first, record.first_ns());
    last = std::max(last, record.last_ns());
  }

  double seconds() const { return Seconds(end_ns_ - sent_ns_); }

  std::optional<double> DecodeTokensPerS() const {
    int64_t begin = 0;
    int64_t end = kNever;
    for (const auto& [stream, span] : streams_) {
      begin = std::max(begin, span.first);
      end = std::min(end, span.second);
    }
    if (end <= begin) return std::nullopt;
    double tokens = 0;
    for (const Record* record : records_) {
      const auto& at = record->text_ns;
      const auto inside = std::upper_bound(at.begin(), at.end(), end) -
                          std::upper_bound(at.begin(), at.end(), begin);
      tokens += static_cast<double>(inside) * static_cast<double>(record->tokens()) /
                static_cast<double>(at.size());
    }
    return tokens / Seconds(end - begin);
  }

  std::optional<double> PrefillTokensPerS() const {
    int64_t last_first = 0;
    double tokens = 0;
    for (const Record* record : records_) {
      if (record->prompt_tokens < 0) return std::nullopt;
      tokens += static_cast<double>(record->prompt_tokens);
      last_first = std::max(last_first, record->first_ns());
    }
    return last_first <= sent_ns_ ? std::nullopt
                                  : std::optional(tokens / Seconds(last_first - sent_ns_));
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  std::vector<const Record*> records_;
  std::map<int, std::pair<int64_t, int64_t>> streams_;  // first and last text of each
  int64_t sent_ns_ = kNever;
  int64_t end_ns_ = 0;
};

std::optional<double> Median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void AddFailure(const Record& record, Summary* summary) {
  ++summary->failed;
  const std::string& text = record.status.message();
  auto& errors = summary->errors;
  if (errors.size() < kErrorsMax && std::find(errors.begin(), errors.end(), text) == errors.end()) {
    errors.push_back(text);
  }
}

void WriteQuantiles(codec::JsonWriter& json, std::string_view name, const Quantiles& q) {
  json.Key(name).Object().Key("p50").Value(q.p50).Key("p95").Value(q.p95).Key("p99").Value(q.p99);
  json.Key("max").Value(q.max).End();
}

void WriteRates(codec::JsonWriter& json, const std::string& name, std::optional<double> median,
                const std::vector<double>& rates) {
  json.Key(name);
  if (median) json.Value(*median);
  else json.Null();
  json.Key(name + "_runs").Array();
  for (const double rate : rates) json.Value(rate);
  json.End();
}

}  // namespace

Quantiles QuantilesOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double part) {
    const double rank = std::ceil(part * static_cast<double>(values.size()));
    return values[std::min(values.size() - 1, static_cast<size_t>(std::max(rank, 1.0)) - 1)];
  };
  return {.p50 = at(0.5), .p95 = at(0.95), .p99 = at(0.99), .max = values.back()};
}

std::optional<double> Summary::MedianDecode() const { return Median(decode_tokens_per_s); }
std::optional<double> Summary::MedianPrefill() const { return Median(prefill_tokens_per_s); }

Summary Summarise(std::span<const Record> records, bool together, double cpu_seconds) {
  Summary summary;
  std::map<int, Round> rounds;
  std::vector<double> ttft, gaps;
  int64_t events = 0;
  for (const Record& record : records) {
    ++summary.requests;
    if (!record.status.ok()) {
      AddFailure(record, &summary);
      continue;
    }
    summary.uncounted += record.completion_tokens < 0 ? 1 : 0;
    summary.prompt_tokens += std::max<int64_t>(0, record.prompt_tokens);
    summary.completion_tokens += record.tokens();
    events += static_cast<int64_t>(record.text_ns.size());
    if (record.text_ns.empty()) continue;
    ttft.push_back(Seconds(record.first_ns() - record.sent_ns) * 1e3);
    for (size_t i = 1; i < record.text_ns.size(); ++i) {
      gaps.push_back(Seconds(record.text_ns[i] - record.text_ns[i - 1]) * 1e3);
    }
    rounds[together ? record.round : 0].Add(record);
  }
  for (const auto& [number, round] : rounds) {
    summary.seconds += round.seconds();
    if (const auto rate = round.DecodeTokensPerS()) summary.decode_tokens_per_s.push_back(*rate);
    if (const auto rate = round.PrefillTokensPerS()) summary.prefill_tokens_per_s.push_back(*rate);
  }
  const auto tokens = static_cast<double>(summary.completion_tokens);
  if (summary.seconds > 0) {
    summary.tokens_per_s = tokens / summary.seconds;
    summary.cpu_share = cpu_seconds / summary.seconds;
  }
  if (tokens > 0) summary.events_per_token = static_cast<double>(events) / tokens;
  summary.ttft_ms = QuantilesOf(std::move(ttft));
  summary.gap_ms = QuantilesOf(std::move(gaps));
  return summary;
}

std::string SummaryText(const Options& options, const Summary& s) {
  std::string text =
      fmt::format("{} requests on {} streams, {} failed; {} prompt tokens, {} tokens{}\n",
                  s.requests, options.streams, s.failed, s.prompt_tokens, s.completion_tokens,
                  s.uncounted > 0 ? " (events counted)" : "");
  for (const std::string& error : s.errors) text += fmt::format("  failed: {}\n", error);
  text += fmt::format("{:<22}{:>10.1f} tokens/s\n", "all of it", s.tokens_per_s);
  if (const auto rate = s.MedianDecode()) {
    text += fmt::format("{:<22}{:>10.1f} tokens/s\n", "while all decode", *rate);
  }
  if (const auto rate = s.MedianPrefill()) {
    text += fmt::format("{:<22}{:>10.1f} tokens/s\n", "until all have begun", *rate);
  }
  const auto line = [](std::string_view name, const Quantiles& q) {
    return fmt::format("{:<22}{:>10.1f} ms half, {:.1f} p95, {:.1f} p99, {:.1f} at most\n", name,
                       q.p50, q.p95, q.p99, q.max);
  };
  text += line("time to first token", s.ttft_ms) + line("between tokens", s.gap_ms);
  return text + fmt::format("{:<22}{:>10.3f} CPUs\n", "this program took", s.cpu_share);
}

std::string SummaryJson(const Options& options, const Summary& s) {
  std::string text;
  codec::JsonWriter json(&text);
  json.Object().Key("url").Value(options.url).Key("api").Value(options.api);
  json.Key("streams").Value(options.streams).Key("together").Value(options.together);
  json.Key("requests").Value(s.requests).Key("failed").Value(s.failed);
  json.Key("errors").Array();
  for (const std::string& error : s.errors) json.Value(error);
  json.End().Key("uncounted").Value(s.uncounted);
  json.Key("prompt_tokens").Value(s.prompt_tokens);
  json.Key("completion_tokens").Value(s.completion_tokens);
  json.Key("seconds").Value(s.seconds).Key("tokens_per_s").Value(s.tokens_per_s);
  WriteRates(json, "decode_tokens_per_s", s.MedianDecode(), s.decode_tokens_per_s);
  WriteRates(json, "prefill_tokens_per_s", s.MedianPrefill(), s.prefill_tokens_per_s);
  WriteQuantiles(json, "ttft_ms", s.ttft_ms);
  WriteQuantiles(json, "gap_ms", s.gap_ms);
  json.Key("events_per_token").Value(s.events_per_token);
  json.Key("cpu_share").Value(s.cpu_share).End();
  return text;
}

}  // namespace pelton::load
