#include "obs/access_log.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "codec/json.h"

namespace pelton::obs {
namespace {

TEST(RequestId, TakesSafeIdsAndReplacesOthers) {
  EXPECT_EQ(ChooseRequestId("abc-1.2_X"), "abc-1.2_X");
  EXPECT_EQ(ChooseRequestId(std::string(64, 'a')), std::string(64, 'a'));
  std::set<std::string> made;
  for (const std::string& bad : {std::string(65, 'a'), std::string(), std::string("a b"),
                                 std::string("a\nb"), std::string("../x"), std::string("é")}) {
    const std::string id = ChooseRequestId(bad);
    EXPECT_TRUE(id.starts_with("req-")) << id;
    made.insert(id);
  }
  made.insert(ChooseRequestId(std::nullopt));
  EXPECT_EQ(made.size(), 7u);
}

TEST(AccessLog, LineIsOneJsonObjectWhateverTheFieldsHold) {
  const std::string line = FormatAccess({.id = "r1", .peer = "127.0.0.1:1", .method = "POST",
                                         .path = "/a\n\"b\xFF", .status = 200, .seconds = 0.1234567,
                                         .model = "m", .completion_tokens = 7});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const codec::Json json = codec::ParseJson(line).value();
  EXPECT_EQ(*json.Find("path")->AsString(), "/a\n\"b\uFFFD");
  EXPECT_EQ(json.Find("status")->AsInt(), 200);
  EXPECT_EQ(json.Find("seconds")->AsDouble(), 0.123457);
  EXPECT_EQ(json.Find("completion_tokens")->AsInt(), 7);
  EXPECT_EQ(json.Find("prompt_tokens"), nullptr);
  EXPECT_EQ(json.Find("tenant"), nullptr);
  EXPECT_EQ(json.Find("time")->AsString()->size(), 24u);
}

TEST(AccessLog, LongPathsAreCut) {
  const std::string path(8'000, 'x');
  EXPECT_LT(FormatAccess({.path = path}).size(), 700u);
}

TEST(AccessLog, LinesOfManyThreadsStayWhole) {
  const std::string path = testing::TempDir() + "pelton_access.log";
  std::remove(path.c_str());
  {
    const AccessLog log = AccessLog::Open(path).value();
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) log.Write({.id = "x", .status = 200});
      });
    }
  }
  std::ifstream in(path);
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) EXPECT_TRUE(codec::ParseJson(line).ok());
  EXPECT_EQ(lines, 2'000);
  std::remove(path.c_str());
}

TEST(AccessLog, APathThatCannotBeOpenedIsNamed) {
  const auto log = AccessLog::Open("/no/such/folder/access.log");
  ASSERT_FALSE(log.ok());
  EXPECT_NE(log.status().message().find("/no/such/folder/access.log"), std::string::npos);
  EXPECT_TRUE(AccessLog::Open("").ok());
}

}  // namespace
}  // namespace pelton::obs
