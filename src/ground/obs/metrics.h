// Metrics: counters, gauges and histograms in named families, written out as Prometheus text
// (exposition format 0.0.4). Updating is lock-free and thread-safe; registering takes a lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pelton::obs {

using Labels = std::vector<std::pair<std::string, std::string>>;

class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Upper bounds are fixed at registration; observations are doubles in the family's unit.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds);
  void Observe(double value, uint64_t times = 1);

  std::span<const double> bounds() const { return bounds_; }
  uint64_t bucket(size_t i) const { return buckets_[i].load(std::memory_order_relaxed); }
  uint64_t count() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  // An upper estimate of the value below which `share` of the observations lie; 0 without any.
  double Quantile(double share) const;

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> buckets_;  // one more than bounds: the last is +Inf
  std::atomic<double> sum_{0};
};

// Holds every family of the process. References it gives live as long as it does. A family has at
// most kSeriesMax label sets: those beyond share one series whose label values are "other".
class Registry {
 public:
  static constexpr size_t kSeriesMax = 1000;

  Counter& GetCounter(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& GetHistogram(std::string_view name, std::string_view help,
                          std::span<const double> bounds, Labels labels = {});
  // `read` is called while rendering, from any thread.
  void AddGauge(std::string_view name, std::string_view help, Labels labels,
                std::function<double()> read);
  void AddCounterFunction(std::string_view name, std::string_view help, Labels labels,
                          std::function<double()> read);

  std::string Render() const;

 private:
  struct Series {
    Labels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> read;
  };
  struct Family {
    std::string name, help, type;
    std::deque<Series> series;
  };
  Family& FamilyOf(std::string_view name, std::string_view help, std::string_view type);
  Series& SeriesOf(Family& family, Labels labels);

  mutable std::mutex mutex_;
  std::deque<Family> families_;  // guarded by mutex_; elements never move
};

// Seconds from 1 ms to 100 s, three a decade: first-token and whole-request times.
std::span<const double> LatencyBounds();
// Seconds from 0.5 ms to 5 s: times between tokens.
std::span<const double> TokenGapBounds();

}  // namespace pelton::obs
