#include "obs/metrics.h"

#include <gtest/gtest.h>

#include <array>

namespace pelton::obs {
namespace {

TEST(Metrics, CountersOfOneNameAndLabelsAreOne) {
  Registry registry;
  registry.GetCounter("a_total", "A.", {{"x", "1"}}).Add();
  registry.GetCounter("a_total", "A.", {{"x", "1"}}).Add(2);
  registry.GetCounter("a_total", "A.", {{"x", "2"}}).Add();
  EXPECT_EQ(registry.Render(),
            "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 3\na_total{x=\"2\"} 1\n");
}

TEST(Metrics, HistogramBucketsAreCumulativeAndBoundsInclusive) {
  Registry registry;
  const std::array bounds = {1.0, 2.0};
  Histogram& h = registry.GetHistogram("h", "H.", bounds);
  h.Observe(1.0);
  h.Observe(1.5, 2);
  h.Observe(9);
  EXPECT_EQ(registry.Render(),
            "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 3\n"
            "h_bucket{le=\"+Inf\"} 4\nh_sum 13\nh_count 4\n");
  EXPECT_EQ(h.Quantile(0.5), 2.0);
  EXPECT_EQ(h.Quantile(0.2), 1.0);
}

TEST(Metrics, LabelValuesAreEscaped) {
  Registry registry;
  registry.AddGauge("g", "G.", {{"m", "a\"b\\c\nd"}}, [] { return 0.5; });
  EXPECT_NE(registry.Render().find("g{m=\"a\\\"b\\\\c\\nd\"} 0.5\n"), std::string::npos);
}

TEST(Metrics, AFamilyNeverGrowsBeyondItsBound) {
  Registry registry;
  for (int i = 0; i < 3000; ++i) registry.GetCounter("c", "C.", {{"k", std::to_string(i)}}).Add();
  const std::string text = registry.Render();
  EXPECT_NE(text.find("c{k=\"999\"} 1\n"), std::string::npos);
  EXPECT_EQ(text.find("c{k=\"1000\"}"), std::string::npos);
  EXPECT_NE(text.find("c{k=\"other\"} 2000\n"), std::string::npos);
}

}  // namespace
}  // namespace pelton::obs
