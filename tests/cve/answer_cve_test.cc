// Row 15: a model's answer is text that its user can choose. Reading it for thoughts and calls of tools costs
// linear time, however it is cut, and no stack.
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "api/turn/answer_reader.h"

namespace pelton::cve {
namespace {

using api::turn::AnswerPart;
using api::turn::AnswerReader;
using api::turn::AnswerRules;
using backend::ToolSyntax;

constexpr size_t kBytes = 60'000;
constexpr double kRatioMax = 2.5;
constexpr int kAttempts = 12;  // other programs disturb a measurement; growth disturbs them all

const std::vector<std::string> kUnits = {
    "<tool_call>", "<tool_call>{", "<tool_call>{\"name\":\"add\"}</tool_call>", "<tool_call> ", "</tool_call>", "<",
    "[TOOL_CALLS]", "[TOOL_CALLS]add", "[TOOL_CALLS][", "<|tool_call|>[", "<|python_tag|>", "{\"name\":", "{", "\"",
    "\n", " x", "</think", "<think>", "{\"arguments\":{\"a\":\"", "\\", "[", ";{\"name\":\"add\",\"parameters\":{}}"};

size_t Read(const AnswerRules& rules, std::string_view text, size_t cut) {
  AnswerReader reader(rules);
  size_t bytes = 0;
  std::vector<AnswerPart> parts;
  const auto count = [&] {
    for (const AnswerPart& part : parts) bytes += part.text.size();
    parts.clear();
  };
  for (; !text.empty(); text.remove_prefix(std::min(cut, text.size()))) {
    reader.Push(text.substr(0, cut), &parts);
    count();
  }
  reader.Finish(&parts);
  count();
  return bytes;
}

std::vector<AnswerRules> AllRules() {
  std::vector<AnswerRules> all;
  for (int i = 0; i < 12; ++i) {
    AnswerRules rules;
    rules.syntax = static_cast<ToolSyntax>(i % 4);
    rules.tools = {"add"};
    rules.thinks = i >= 4;
    rules.opens_thinking = i >= 8;
    all.push_back(rules);
  }
  return all;
}

std::string Repeated(const std::string& unit, size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += unit;
  return out;
}

double CpuSeconds(const AnswerRules& rules, const std::string& text, size_t cut) {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  };
  const double start = now();
  Read(rules, text, cut);
  return now() - start;
}

TEST(AnswerCve, Row15_TwiceTheAnswerCostsTwice) {
  for (const AnswerRules& rules : AllRules()) {
    for (const std::string& unit : kUnits) {
      for (const size_t cut : {size_t{4}, size_t{1} << 30}) {
        const std::string once = Repeated(unit, kBytes), twice = Repeated(unit, 2 * kBytes);
        double least = 1e9;
        for (int i = 0; i < kAttempts && least > kRatioMax; ++i) {
          least = std::min(least, CpuSeconds(rules, twice, cut) / std::max(CpuSeconds(rules, once, cut), 1e-9));
        }
        EXPECT_LE(least, kRatioMax) << unit << " in " << cut << ", syntax " << static_cast<int>(rules.syntax);
      }
    }
  }
}

TEST(AnswerCve, Row15_AMegabyteOfMarksNeedsNoStack) {
  const auto run = [](void*) -> void* {
    for (const AnswerRules& rules : AllRules()) {
      for (const std::string& unit : kUnits) Read(rules, Repeated(unit, 1 << 20), size_t{1} << 30);
    }
    return nullptr;
  };
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 << 10), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, run, nullptr), 0);
  EXPECT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
}

}  // namespace
}  // namespace pelton::cve
