#include "bench_report.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "codec/json_write.h"

namespace pelton::app {
namespace {

// Read bandwidth that the row used, of weights and context.
double BytesPerS(const BenchReport& report, const BenchRow& row) {
  return (static_cast<double>(report.cost.weight_bytes) + report.cost.KvBytes(row)) /
         row.StepSeconds();
}

double OpsPerS(const BenchReport& report, const BenchRow& row) {
  return report.cost.PrefillOps(row) / row.tokens * row.Median();
}

// A step's time in units of reading the weights once; 0 without limits.
double WeightReads(const BenchReport& report, const BenchRow& row) {
  if (!report.limits || report.limits->read_bytes_per_s <= 0) return 0;
  return row.StepSeconds() * report.limits->read_bytes_per_s /
         static_cast<double>(report.cost.weight_bytes);
}

std::string ShareText(const BenchReport& report, const BenchRow& row) {
  if (!report.limits) return "";
  if (!row.prefill) {
    return fmt::format("  {:.0f} % of read, step = {:.2f} reads of the weights",
                       100 * BytesPerS(report, row) / report.limits->read_bytes_per_s,
                       WeightReads(report, row));
  }
  std::string text;
  for (const auto& peak : report.limits->multiplies) {
    text += fmt::format("{} {:.0f} % of {}", text.empty() ? " " : ",",
                        100 * OpsPerS(report, row) / peak.ops_per_s, peak.name);
  }
  return text;
}

void WriteRow(const BenchReport& report, const BenchRow& row, codec::JsonWriter& json) {
  json.Object().Key("name").Value(row.Name()).Key("kind").Value(row.prefill ? "prefill" : "decode");
  json.Key("tokens")
      .Value(row.tokens)
      .Key("streams")
      .Value(row.streams)
      .Key("depth")
      .Value(row.depth);
  json.Key("tokens_per_s").Value(row.Median()).Key("runs").Array();
  for (const double run : row.tokens_per_s) json.Value(run);
  json.End();
  if (row.prefill) {
    json.Key("ops_per_s").Value(OpsPerS(report, row));
    if (report.limits) {
      json.Key("share_of_peak").Object();
      for (const auto& peak : report.limits->multiplies) {
        json.Key(peak.name).Value(OpsPerS(report, row) / peak.ops_per_s);
      }
      json.End();
    }
  } else {
    json.Key("ms_per_step").Value(row.StepSeconds() * 1e3);
    json.Key("bytes_per_s").Value(BytesPerS(report, row));
    if (report.limits && report.limits->read_bytes_per_s > 0) {
      json.Key("share_of_read").Value(BytesPerS(report, row) / report.limits->read_bytes_per_s);
      json.Key("weight_reads_per_step").Value(WeightReads(report, row));
    }
  }
  json.End();
}

}  // namespace

void PrintBenchTable(const BenchReport& report) {
  const LocalModel& local = report.local;
  const models::ModelInfo& info = local.model->info();
  fmt::print("{} {} {}, {:.1f} MB of weights, kernels {}, {} threads, loaded in {} ms\n",
             info.architecture, info.name, info.quantization,
             static_cast<double>(info.weight_bytes) / 1e6, local.table->name, local.team->size(),
             local.load_ms);
  for (const BenchRow& row : report.rows) {
    const auto [low, high] = std::minmax_element(row.tokens_per_s.begin(), row.tokens_per_s.end());
    fmt::print("{:<26}{:>10.1f} tokens/s   ({:.1f} … {:.1f}){}\n", row.Name(), row.Median(), *low,
               *high, ShareText(report, row));
  }
  if (report.limits) {
    fmt::print("{:<26}{:>10.1f} GB/s of {:.0f} MB; {:.0f} MB resident, {:.0f} MB of KV\n",
               "read at best", report.limits->read_bytes_per_s * 1e-9,
               static_cast<double>(report.cost.weight_bytes) * 1e-6,
               static_cast<double>(report.resident_bytes) * 1e-6,
               static_cast<double>(report.kv_bytes) * 1e-6);
  }
}

void PrintBenchJson(const BenchReport& report) {
  const LocalModel& local = report.local;
  const models::ModelInfo& info = local.model->info();
  std::string text;
  codec::JsonWriter json(&text);
  json.Object().Key("engine").Value("pelton").Key("version").Value(PELTON_VERSION);
  json.Key("architecture").Value(info.architecture).Key("quantization").Value(info.quantization);
  json.Key("weight_bytes").Value(info.weight_bytes).Key("kernels").Value(local.table->name);
  json.Key("threads").Value(local.team->size()).Key("load_ms").Value(local.load_ms);
  json.Key("chunk").Value(report.plan.chunk).Key("step_bytes").Value(report.cost.weight_bytes);
  json.Key("kv_bytes").Value(report.kv_bytes).Key("resident_bytes").Value(report.resident_bytes);
  if (report.limits) {
    json.Key("read_bytes_per_s").Value(report.limits->read_bytes_per_s);
    json.Key("peak_ops_per_s").Object();
    for (const auto& peak : report.limits->multiplies) json.Key(peak.name).Value(peak.ops_per_s);
    json.End();
  }
  json.Key("results").Array();
  for (const BenchRow& row : report.rows) WriteRow(report, row, json);
  json.End().End();
  fmt::print("{}\n", text);
}

}  // namespace pelton::app
