#include "server/playground.h"

#include <gtest/gtest.h>

#include "server/embedded_file.h"

namespace pelton::server {
namespace {

std::string HeaderOf(const net::Response& response, std::string_view name) {
  EXPECT_LE(response.headers.Count(name), 1u) << name;
  return std::string(response.headers.Find(name).value_or(""));
}

TEST(Playground, ThePageIsThereAndEveryFileThatItNames) {
  const net::Response page = PlaygroundFile("index.html", {});
  ASSERT_EQ(page.status, 200);
  EXPECT_EQ(HeaderOf(page, "content-type"), "text/html; charset=utf-8");
  int named = 0;
  for (size_t at = page.body.find("./assets/"); at != std::string::npos;
       at = page.body.find("./assets/", at + 1)) {
    const size_t end = page.body.find('"', at);
    const std::string path = page.body.substr(at + 2, end - at - 2);
    EXPECT_EQ(PlaygroundFile(path, {}).status, 200) << path;
    ++named;
  }
  EXPECT_GE(named, 2);  // a script and a style at least
}

TEST(Playground, FilesWithAHashInTheirNameAreKeptAndThePageIsAskedForAgain) {
  for (const EmbeddedFile& file : PlaygroundFiles()) {
    const bool asset = file.path.starts_with("assets/");
    EXPECT_EQ(asset, file.path != "index.html") << file.path;
    EXPECT_EQ(HeaderOf(PlaygroundFile(file.path, {}), "cache-control"),
              asset ? "public, max-age=31536000, immutable" : "no-cache");
  }
}

TEST(Playground, EveryFileHasItsTypeAndThePolicy) {
  for (const EmbeddedFile& file : PlaygroundFiles()) {
    const net::Response response = PlaygroundFile(file.path, {});
    EXPECT_EQ(response.body, file.bytes);
    EXPECT_NE(HeaderOf(response, "content-type"), "application/octet-stream") << file.path;
    const std::string policy = HeaderOf(response, "content-security-policy");
    EXPECT_TRUE(policy.starts_with("default-src 'none'; script-src 'self'")) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
    EXPECT_EQ(policy.find("http"), std::string::npos);
    EXPECT_EQ(HeaderOf(response, "x-frame-options"), "DENY");
    EXPECT_EQ(HeaderOf(response, "referrer-policy"), "no-referrer");
  }
}

TEST(Playground, AKnownTagIsAnsweredWithoutBody) {
  const std::string tag = HeaderOf(PlaygroundFile("index.html", {}), "etag");
  ASSERT_EQ(tag.size(), 34u);
  for (const std::string& list : {tag, "W/" + tag, "\"a\" ,\t" + tag, tag + ", \"b\"",
                                  std::string("*")}) {
    const net::Response response = PlaygroundFile("index.html", list);
    EXPECT_EQ(response.status, 304) << list;
    EXPECT_TRUE(response.body.empty());
    EXPECT_EQ(HeaderOf(response, "etag"), tag);
  }
  for (const std::string& list : {std::string(), std::string("\"a\""), tag.substr(1), tag + "x",
                                  std::string(",,,")}) {
    EXPECT_EQ(PlaygroundFile("index.html", list).status, 200) << list;
  }
}

TEST(Playground, OnlyItsOwnFilesAreThere) {
  for (const char* path : {"", "assets", "assets/", "/index.html", "assets/../index.html",
                           "index.html/", "INDEX.HTML", "assets/nothing.js"}) {
    EXPECT_EQ(PlaygroundFile(path, {}).status, 404) << path;
  }
}

}  // namespace
}  // namespace pelton::server
