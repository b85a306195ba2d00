#include "obs/metrics.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <vector>

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

TEST(Metrics, HelpAndBadUtf8CannotBreakTheText) {
  Registry registry;
  registry.GetCounter("a_total", "a\\b\n# TYPE x", {{"l", "\xFF"}}).Add();
  EXPECT_EQ(registry.Render(),
            "# HELP a_total a\\\\b\\n# TYPE x\n# TYPE a_total counter\na_total{l=\"\uFFFD\"} 1\n");
}

TEST(Metrics, NanIsNotObserved) {
  Histogram histogram(LatencyBounds());
  histogram.Observe(NAN);
  histogram.Observe(0.5);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.sum(), 0.5);
}

TEST(Metrics, ThreadsLoseNothing) {
  Registry registry;
  Histogram& seconds = registry.GetHistogram("h_seconds", "H.", LatencyBounds());
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5'000; ++i) {
          registry.GetCounter("c_total", "C.", {{"t", i % 2 == 0 ? "a" : "b"}}).Add();
          seconds.Observe(0.5);
          ASSERT_TRUE(i % 1'000 != 0 || !registry.Render().empty());
        }
      });
    }
  }
  EXPECT_NE(registry.Render().find("c_total{t=\"a\"} 10000\n"), std::string::npos);
  EXPECT_EQ(seconds.count(), 20'000u);
  EXPECT_DOUBLE_EQ(seconds.sum(), 10'000.0);
}

#ifdef PELTON_PROMTOOL
TEST(Metrics, PromtoolAcceptsTheText) {
  Registry registry;
  registry.GetCounter("pelton_requests_total", "Requests \\ by\nmodel.",
                      {{"model", "quote \" slash \\ line \n é"}, {"code", "200"}}).Add(3);
  registry.GetHistogram("pelton_ttft_seconds", "TTFT.", LatencyBounds(), {{"model", ""}})
      .Observe(0.2);
  registry.AddCounterFunction("pelton_tokens_total", "Tokens.", {}, [] { return 1e18; });
  registry.AddGauge("pelton_odd_ratio", "Odd.", {}, [] { return INFINITY; });
  const std::string path = testing::TempDir() + "pelton_metrics.txt";
  const std::string command = std::string(PELTON_PROMTOOL) + " check metrics < " + path;
  std::ofstream(path) << registry.Render();
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::ofstream(path) << "bad{ 1\n";  // the tool can say no
  EXPECT_NE(std::system(command.c_str()), 0);
  std::remove(path.c_str());
}
#endif

}  // namespace
}  // namespace pelton::obs
