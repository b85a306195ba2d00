#include "obs/metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "codec/utf8.h"

namespace pelton::obs {
namespace {

// Help text keeps its quotes, a label's value does not; both are UTF-8 on one line.
std::string Escape(std::string_view value, bool quotes) {
  std::string out;
  for (const char c : codec::SanitizeUtf8(value)) {
    if (c == '\\' || (quotes && c == '"')) out.push_back('\\');
    if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// {a="1",b="2"}, with `le` added when given; empty without labels.
std::string LabelText(const Labels& labels, std::string_view le = {}) {
  std::string out;
  for (const auto& [key, value] : labels) {
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "{" : ",", key, Escape(value, /*quotes=*/true));
  }
  if (!le.empty()) out += fmt::format("{}le=\"{}\"", out.empty() ? "{" : ",", le);
  if (!out.empty()) out.push_back('}');
  return out;
}

std::string NumberText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

void RenderHistogram(const std::string& name, const Labels& labels, const Histogram& histogram,
                     std::string* out) {
  uint64_t total = 0;
  const auto bounds = histogram.bounds();
  for (size_t i = 0; i <= bounds.size(); ++i) {
    total += histogram.bucket(i);
    const std::string le = i < bounds.size() ? NumberText(bounds[i]) : "+Inf";
    *out += fmt::format("{}_bucket{} {}\n", name, LabelText(labels, le), total);
  }
  *out += fmt::format("{}_sum{} {}\n", name, LabelText(labels), NumberText(histogram.sum()));
  *out += fmt::format("{}_count{} {}\n", name, LabelText(labels), total);
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), buckets_(bounds.size() + 1) {}

void Histogram::Observe(double value, uint64_t times) {
  if (std::isnan(value)) return;  // would make the sum NaN for ever
  const auto it = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  buckets_[static_cast<size_t>(it - bounds_.begin())].fetch_add(times, std::memory_order_relaxed);
  sum_.fetch_add(value * static_cast<double>(times), std::memory_order_relaxed);
}

uint64_t Histogram::count() const {
  uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return total;
}

double Histogram::Quantile(double share) const {
  const uint64_t total = count();
  if (total == 0) return 0;
  const double wanted = share * static_cast<double>(total);
  double seen = 0;
  for (size_t i = 0; i < bounds_.size(); ++i) {
    seen += static_cast<double>(bucket(i));
    if (seen >= wanted) return bounds_[i];
  }
  return bounds_.empty() ? 0 : bounds_.back();
}

Registry::Family& Registry::FamilyOf(std::string_view name, std::string_view help,
                                     std::string_view type) {
  for (Family& family : families_) {
    if (family.name == name) return family;
  }
  families_.push_back({std::string(name), std::string(help), std::string(type), {}});
  return families_.back();
}

Registry::Series& Registry::SeriesOf(Family& family, Labels labels) {
  const auto find = [&]() -> Series* {
    for (Series& series : family.series) {
      if (series.labels == labels) return &series;
    }
    return nullptr;
  };
  if (Series* found = find()) return *found;
  if (family.series.size() >= kSeriesMax) {
    for (auto& [key, value] : labels) value = "other";
    if (Series* found = find()) return *found;
  }
  family.series.emplace_back();
  family.series.back().labels = std::move(labels);
  return family.series.back();
}

Counter& Registry::GetCounter(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  Series& series = SeriesOf(FamilyOf(name, help, "counter"), std::move(labels));
  if (!series.counter) series.counter = std::make_unique<Counter>();
  return *series.counter;
}

Histogram& Registry::GetHistogram(std::string_view name, std::string_view help,
                                  std::span<const double> bounds, Labels labels) {
  const std::lock_guard lock(mutex_);
  Series& series = SeriesOf(FamilyOf(name, help, "histogram"), std::move(labels));
  if (!series.histogram) series.histogram = std::make_unique<Histogram>(bounds);
  return *series.histogram;
}

void Registry::AddGauge(std::string_view name, std::string_view help, Labels labels,
                        std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  SeriesOf(FamilyOf(name, help, "gauge"), std::move(labels)).read = std::move(read);
}

void Registry::AddCounterFunction(std::string_view name, std::string_view help, Labels labels,
                                  std::function<double()> read) {
  const std::lock_guard lock(mutex_);
  SeriesOf(FamilyOf(name, help, "counter"), std::move(labels)).read = std::move(read);
}

std::string Registry::Render() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const Family& family : families_) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family.name,
                       Escape(family.help, /*quotes=*/false), family.name, family.type);
    for (const Series& series : family.series) {
      if (series.histogram) {
        RenderHistogram(family.name, series.labels, *series.histogram, &out);
        continue;
      }
      const double value = series.counter ? static_cast<double>(series.counter->value())
                                          : series.read();
      out += fmt::format("{}{} {}\n", family.name, LabelText(series.labels), NumberText(value));
    }
  }
  return out;
}

std::span<const double> LatencyBounds() {
  static constexpr std::array kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                         1.0,   2.5,    5.0,   10.0, 25.0,  50.0, 100.0};
  return kBounds;
}

std::span<const double> TokenGapBounds() {
  static constexpr std::array kBounds = {0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025,
                                         0.05,   0.075, 0.1,    0.25,  0.5,    1.0,  2.5,   5.0};
  return kBounds;
}

}  // namespace pelton::obs
