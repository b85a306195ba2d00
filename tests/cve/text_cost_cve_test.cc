// Rows 15 and 16: backtracking patterns and quadratic passes over what a client sends. Twice the
// text may cost at most 2.5 times the processor time, at every stage, on inputs made to hurt.
#include <gtest/gtest.h>

#include <ctime>

#include <algorithm>
#include <functional>
#include <string>

#include "text/test_model.h"

namespace pelton::cve {
namespace {

constexpr size_t kBytes = 60'000;
constexpr double kRatioMax = 2.5;
constexpr int kAttempts = 12;  // other programs disturb a measurement; growth disturbs them all

struct Family {
  const char* name;
  std::string unit;
  std::string tail;
};

const Family kFamilies[] = {
    {"one letter", "a", ""},
    {"spaces", " ", ""},
    {"spaces, then a letter", " ", "x"},
    {"newlines", "\n", "x"},
    {"spaces and newlines", "  \n", "x"},
    {"combining marks", "\u0301", ""},
    {"letters with marks", "e\u0301", ""},
    {"digits", "1", ""},
    {"upper case, then lower", "A", "b"},
    {"punctuation", "'", ""},
    {"openings of tokens", "<|im_", ""},
    {"nearly control tokens", "<|im_end|", "x"},
    {"control tokens", "<|im_end|>", ""},
    {"emoji", "\U0001F600", ""},
    {"NUL", std::string(1, '\0'), ""},
    {"escaped spaces", "\u2581", ""},
};

std::string Text(const Family& family, size_t bytes) {
  std::string out;
  while (out.size() < bytes) out += family.unit;
  return out + family.tail;
}

double CpuSeconds(const std::function<void()>& body) {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  };
  const double start = now();
  body();
  return now() - start;
}

// The smallest ratio of a few pairs: t(2n) / t(n).
void ExpectLinear(const std::string& what, const std::function<void(const std::string&)>& stage,
                  const Family& family) {
  const std::string once = Text(family, kBytes);
  const std::string twice = Text(family, 2 * kBytes);
  double least = 1e9;
  for (int i = 0; i < kAttempts && least > kRatioMax; ++i) {
    const double one = CpuSeconds([&] { stage(once); });
    const double two = CpuSeconds([&] { stage(twice); });
    least = std::min(least, two / std::max(one, 1e-9));
  }
  EXPECT_LE(least, kRatioMax) << what << " on " << family.name;
}

// A vocabulary in which runs of "a", spaces and marks merge into ever longer pieces.
text::TestModel RunsModel(const std::string& pre) {
  text::TestModel m = text::ByteLevelModel();
  m.pre = pre;
  for (const std::string unit : {"a", "\u0120", "1", "'"}) {
    std::string piece = unit;
    for (int i = 0; i < 6; ++i) {
      m.merges.push_back(piece + " " + piece);
      piece += piece;
      m.Add(piece, text::kNormal);
    }
  }
  return m;
}

TEST(TextCostCve, Row15_PretokenizersAndMergesAreLinear) {
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o", "deepseek-llm", "deepseek-v3",
                          "default", "bloom"}) {
    const auto tokenizer = RunsModel(pre).Load();
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
    for (const Family& family : kFamilies) {
      ExpectLinear(pre, [&](const std::string& s) { EXPECT_TRUE((*tokenizer)->Encode(s, {}).ok()); }, family);
    }
  }
}

TEST(TextCostCve, Row16_ScoredMergesAreLinear) {
  text::TestModel m = text::ScoredModel();
  for (const std::string unit : {"a", "\u2581", "<", "'"}) {
    std::string piece = unit;
    for (int i = 0; i < 6; ++i) m.Add(piece += piece, text::kNormal, -20 - i);
  }
  const auto tokenizer = m.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  for (const Family& family : kFamilies) {
    ExpectLinear("scored", [&](const std::string& s) { EXPECT_TRUE((*tokenizer)->Encode(s, {}).ok()); }, family);
  }
}

TEST(TextCostCve, Row16_ControlTokensAndDecodingAreLinear) {
  const auto tokenizer = text::ByteLevelModel().Load();
  ASSERT_TRUE(tokenizer.ok());
  for (const Family& family : kFamilies) {
    ExpectLinear("parse_special and decode", [&](const std::string& s) {
      const auto ids = (*tokenizer)->Encode(s, {.parse_special = true});
      ASSERT_TRUE(ids.ok());
      EXPECT_FALSE((*tokenizer)->Decode(*ids, true).empty());
    }, family);
  }
}

TEST(TextCostCve, Row16_TemplatesAreLinearInTheMessage) {
  text::TestModel model = text::ByteLevelModel();
  model.SetText("tokenizer.chat_template",
                "{% for m in messages %}<|im_start|>{{ m.content | trim }}<|im_end|>{% endfor %}{{ tools | tojson }}");
  const format::Metadata metadata = model.Build();
  const auto tokenizer = text::Tokenizer::FromMetadata(metadata);
  ASSERT_TRUE(tokenizer.ok());
  const auto chat = text::ChatTemplate::FromMetadata(metadata, **tokenizer);
  ASSERT_TRUE(chat.ok());
  for (const Family& family : kFamilies) {
    ExpectLinear("template", [&](const std::string& s) {
      text::ChatTemplateInput input;
      input.messages.push_back(text::Says("user", s));
      const auto ids = (*chat)->RenderTokens(input);
      EXPECT_TRUE(ids.ok()) << ids.status().ToString();
    }, family);
  }
}

}  // namespace
}  // namespace pelton::cve
