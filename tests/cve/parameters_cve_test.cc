// Rows 18, 19, 21, 22, 40, 43: numbers, shapes and attachments that a client chooses.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/openai/parse.h"
#include "api/status_map.h"
#include "backend/sim/sim_backend.h"
#include "serving/prepare.h"

namespace pelton::cve {
namespace {

using api::openai::ParseChat;
using api::openai::ParseCompletion;

std::string Chat(const std::string& field) {
  return R"({"messages":[{"role":"user","content":"Hi"}],)" + field + "}";
}
std::string Completion(const std::string& field) { return R"({"prompt":"Hi",)" + field + "}"; }

void RefusedEverywhere(const std::string& name, const std::string& value) {
  const std::string field = fmt::format("\"{}\":{}", name, value);
  for (const Status& status :
       {ParseChat(Chat(field), false).status(),
        ParseCompletion(Completion(field), false).status()}) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
    EXPECT_EQ(status.param(), name);
  }
}

TEST(ParametersCve, Row18_Cve_2026_34756_ChoicesWithoutBound) {
  for (const char* n : {"9", "16384", "2147483647", "2147483648", "4294967297", "1e18",
                        "9223372036854775807", "18446744073709551615", "0", "-1"}) {
    RefusedEverywhere("n", n);
  }
  // Nor by way of many prompts.
  std::string prompts = "\"x\"";
  for (int i = 0; i < 40; ++i) prompts += ",\"x\"";
  EXPECT_FALSE(ParseCompletion("{\"n\":8,\"prompt\":[" + prompts + "]}", false).ok());
}

TEST(ParametersCve, Row18_Cve_2024_8939_BestOf) {
  for (const char* value : {"2", "1000000", "-1", "1e9"}) {
    EXPECT_EQ(ParseCompletion(Completion(fmt::format("\"best_of\":{}", value)), false)
                  .status().param(), "best_of") << value;
  }
}

TEST(ParametersCve, Row18_Cve_2024_8768_EmptyPrompt) {
  const auto backend = backend::MakeSimBackend({});
  for (const char* prompt : {"\"\"", "[[]]", "[\"a\",\"\"]", "[[1],[]]"}) {
    const auto parsed = ParseCompletion(
        fmt::format("{{\"prompt\":{},\"add_special_tokens\":false}}", prompt), false);
    ASSERT_TRUE(parsed.ok()) << prompt;
    EXPECT_EQ(serving::Prepare(parsed->request, *backend).status().param(), "prompt") << prompt;
  }
  EXPECT_FALSE(ParseCompletion("{\"prompt\":[]}", false).ok());
}

TEST(ParametersCve, Row18_Cve_2026_54235_TemperatureThatIsNoNumber) {
  for (const char* name : {"temperature", "top_p", "min_p", "typical_p", "repetition_penalty",
                           "frequency_penalty", "presence_penalty"}) {
    for (const char* value : {"NaN", "-NaN", "nan", "Infinity", "-Infinity", "1e999", "-1e999"}) {
      const std::string field = fmt::format("\"{}\":{}", name, value);
      EXPECT_FALSE(ParseChat(Chat(field), false).ok()) << field;
      EXPECT_FALSE(ParseCompletion(Completion(field), false).ok()) << field;
    }
    RefusedEverywhere(name, "\"NaN\"");
    RefusedEverywhere(name, "1e308");
  }
  for (const char* bias : {"1e999", "NaN", "1e308", "\"1\"", "-101"}) {
    EXPECT_FALSE(ParseChat(Chat(fmt::format("\"logit_bias\":{{\"1\":{}}}", bias)), false).ok());
  }
}

// What the smallest allowed numbers become must not overflow where they divide.
TEST(ParametersCve, Row18_SmallestNumbersStayFinite) {
  const auto backend = backend::MakeSimBackend({});
  const auto parsed = ParseChat(
      Chat(R"("temperature":1e-300,"top_p":1e-300,"min_p":1e-300,"repetition_penalty":0.01)"),
      false);
  ASSERT_TRUE(parsed.ok());
  const auto sequences = serving::Prepare(parsed->request, *backend);
  ASSERT_TRUE(sequences.ok());
  EXPECT_EQ(sequences->front().temperature, 0.f);
  EXPECT_GT(sequences->front().top_p, 0.f);
  EXPECT_GT(sequences->front().repetition_penalty, 0.f);
}

TEST(ParametersCve, Row19_Cve_2026_21869_NegativeCounts) {
  for (const char* name : {"n", "max_tokens", "top_k"}) {
    for (const char* value : {"-2", "-2147483648", "-2147483649", "-9223372036854775808"}) {
      RefusedEverywhere(name, value);
    }
  }
  for (const char* value : {"-1", "-2147483648", "[-1]", "[[-1]]", "[1,-1]", "[4294967295]"}) {
    EXPECT_FALSE(ParseCompletion(fmt::format("{{\"prompt\":{}}}", value), false).ok()) << value;
  }
  // A field of that name is unknown here: named, never acted on.
  EXPECT_EQ(ParseChat(Chat("\"n_discard\":-1"), false)->form.ignored,
            std::vector<std::string>{"n_discard"});
}

TEST(ParametersCve, Row21_Cve_2025_62164_TensorsFromClients) {
  EXPECT_EQ(ParseCompletion(R"({"prompt_embeds":"UEsDBAAA"})", false).status().param(),
            "prompt_embeds");
  EXPECT_EQ(ParseCompletion(Completion("\"prompt_embeds\":[[0.1]]"), false).status().param(),
            "prompt_embeds");
}

TEST(ParametersCve, Row22_Cve_2026_34755_AttachmentsAreNotDecoded) {
  for (const char* part :
       {R"({"type":"image_url","image_url":{"url":"data:image/jp2;base64,AAAA"}})",
        R"({"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}})",
        R"({"type":"video_url","video_url":{"url":"http://127.0.0.1/x"}})",
        R"({"type":"file","file":{"file_data":"AAAA"}})", R"({"type":"image"})"}) {
    const Status status = ParseChat(
        fmt::format(R"({{"messages":[{{"role":"user","content":[{}]}}]}})", part), false).status();
    EXPECT_EQ(status.param(), "messages[0].content[0].type") << part;
  }
}

// Rows 40 and 43: an error says what the client did, nothing of the process.
TEST(ParametersCve, Row43_Cve_2026_22778_ErrorsCarryNoInsides) {
  const std::vector<std::string> bodies = {
      "", "{", "[1]", Chat("\"n\":99"), Chat("\"stop\":[1]"), Chat("\"logit_bias\":{\"a\":1}"),
      R"({"messages":[{"role":"x"}]})", std::string(5000, '['), "{\"\\ud800\":1}"};
  for (const std::string& body : bodies) {
    const auto parsed = ParseChat(body, false);
    ASSERT_FALSE(parsed.ok());
    const std::string text = api::ErrorBody(parsed.status());
    for (const char* leak : {"0x", "/work", "/src", ".cc", ".h:", "std::", "boost", "what()"}) {
      EXPECT_EQ(text.find(leak), std::string::npos) << text;
    }
    EXPECT_LT(text.size(), 1000u);
  }
}

}  // namespace
}  // namespace pelton::cve
