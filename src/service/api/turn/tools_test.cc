#include "api/turn/tools.h"

#include <gtest/gtest.h>

namespace pelton::api::turn {
namespace {

using backend::ToolSyntax;

std::string Tool(const std::string& name) {
  return R"({"type":"function","function":{"name":")" + name + R"(","parameters":{"type":"object"}}})";
}

Status Read(const std::string& json, ToolWish* out = nullptr) {
  ToolWish wish;
  std::vector<std::string> ignored;
  const auto value = codec::ParseJson(json);
  EXPECT_TRUE(value.ok()) << json;
  const Status status = ReadTools(*value, &wish, &ignored);
  if (out != nullptr) *out = wish;
  return status;
}

std::string Refused(const std::string& json) { return Read(json).param(); }

TEST(Tools, AreReadWithTheirNames) {
  ToolWish wish;
  ASSERT_TRUE(Read("[" + Tool("add") + "," + Tool("get-weather_2") + "]", &wish).ok());
  EXPECT_EQ(wish.names, (std::vector<std::string>{"add", "get-weather_2"}));
  EXPECT_NE(wish.json.find("get-weather_2"), std::string::npos);
  ASSERT_TRUE(Read("[]", &wish).ok());
  EXPECT_TRUE(wish.json.empty());
}

TEST(Tools, EveryMemberIsChecked) {
  EXPECT_EQ(Refused("[1]"), "tools[0].type");
  EXPECT_EQ(Refused(R"([{"type":"web_search"}])"), "tools[0].type");
  EXPECT_EQ(Refused(R"([{"type":"function"}])"), "tools[0].function");
  EXPECT_EQ(Refused("[" + Tool("a b") + "]"), "tools[0].function.name");
  EXPECT_EQ(Refused("[" + Tool("a") + "," + Tool("a") + "]"), "tools[1].function.name");
  EXPECT_EQ(Refused(R"([{"type":"function","function":{"name":"a","parameters":[]}}])"), "tools[0].function.parameters");
  EXPECT_EQ(Refused(R"([{"type":"function","function":{"name":"a","description":1}}])"), "tools[0].function.description");
}

TEST(Tools, LimitsOnBothSides) {
  EXPECT_TRUE(Read("[" + Tool(std::string(kToolNameMax, 'n')) + "]").ok());
  EXPECT_EQ(Refused("[" + Tool(std::string(kToolNameMax + 1, 'n')) + "]"), "tools[0].function.name");
  const auto many = [](size_t count) {
    std::string json;
    for (size_t i = 0; i < count; ++i) json += (i == 0 ? "[" : ",") + Tool("t" + std::to_string(i));
    return json + "]";
  };
  EXPECT_TRUE(Read(many(kToolsMax)).ok());
  EXPECT_EQ(Refused(many(kToolsMax + 1)), "tools");
  const auto large = [](size_t bytes) {
    const std::string begin = R"([{"type":"function","function":{"name":"a","description":")", end = "\"}}]";
    return begin + std::string(bytes - begin.size() - end.size(), 'x') + end;
  };
  EXPECT_TRUE(Read(large(kToolsBytesMax)).ok());
  EXPECT_EQ(Refused(large(kToolsBytesMax + 1)), "tools");
}

// What a forced call begins with is read as the beginning of that call.
TEST(Tools, APrefixIsReadAsTheCall) {
  for (const ToolSyntax syntax : {ToolSyntax::kTags, ToolSyntax::kJson, ToolSyntax::kMistral, ToolSyntax::kPhi}) {
    for (const bool opens : {false, true}) {
      backend::Facts facts;
      facts.tools = syntax;
      facts.thinks = facts.opens_thinking = opens;
      ToolWish wish{.json = "[]", .names = {"a", "b"}, .forced = "b", .one_call = false};
      serving::GenerateRequest request;
      request.prompts.emplace_back(backend::ChatPrompt());
      ApplyTools(wish, facts, &request);
      EXPECT_EQ(std::get<backend::ChatPrompt>(request.prompts[0]).answer_prefix, AnswerPrefix(wish, facts));
      EXPECT_EQ(request.special_tokens_in_text, syntax != ToolSyntax::kTags);
      AnswerReader reader(RulesOf(wish, facts, request));
      std::vector<AnswerPart> parts;
      reader.Push(AnswerPrefix(wish, facts) + "\"x\": 1}}", &parts);
      reader.Finish(&parts);
      ASSERT_EQ(parts.size(), 2U);
      EXPECT_EQ(parts[0].text, "b");
      EXPECT_EQ(parts[1].text, "{\"x\": 1}");
      wish.forced = "";
      EXPECT_TRUE(AnswerPrefix(wish, facts).ends_with("{\"name\": \""));
      wish.forced.reset();
      EXPECT_EQ(AnswerPrefix(wish, facts), "");
    }
  }
}

TEST(Tools, ThoughtsAreLookedForWhereATurnBegins) {
  backend::Facts facts;
  facts.thinks = facts.opens_thinking = true;
  serving::GenerateRequest request;
  EXPECT_FALSE(RulesOf({}, facts, request).thinks);
  request.prompts.emplace_back(backend::ChatPrompt());
  EXPECT_TRUE(RulesOf({}, facts, request).opens_thinking);
  std::get<backend::ChatPrompt>(request.prompts[0]).add_generation_prompt = false;  // a message is continued
  EXPECT_FALSE(RulesOf({}, facts, request).thinks);
  EXPECT_FALSE(RulesOf({}, facts, request).opens_thinking);
  request.prompts[0] = serving::TextPrompt{"x"};
  EXPECT_FALSE(RulesOf({}, facts, request).thinks);
}

}  // namespace
}  // namespace pelton::api::turn
