#include "net/target.h"

#include <gtest/gtest.h>

namespace pelton::net {
namespace {

struct Parsed {
  int status = 200;
  std::string path;
  std::string query;
};

Parsed Parse(std::string_view target, std::string_view host = "h",
             std::string_view method = "GET") {
  Target out;
  const auto refusal = ParseTarget(method, target, host, &out);
  if (refusal) return {.status = refusal->status, .path = "", .query = ""};
  return {.status = 200, .path = out.path, .query = out.query};
}

TEST(Target, DecodesThePathOnceAndLeavesTheQuery) {
  const Parsed parsed = Parse("/v1/models/a%2Fb%20c%C3%A9?x=%31&y=/../");
  EXPECT_EQ(parsed.path, "/v1/models/a/b cé");
  EXPECT_EQ(parsed.query, "x=%31&y=/../");
  EXPECT_EQ(Parse("/a%2541").path, "/a%41");  // once
  EXPECT_EQ(Parse("/").path, "/");
  EXPECT_EQ(Parse("/v1/").path, "/v1/");
  EXPECT_EQ(Parse("/a?").query, "");
  EXPECT_EQ(Parse("/.well-known/x..y/...").path, "/.well-known/x..y/...");
}

TEST(Target, RefusesPathsThatTwoReadersCouldReadDifferently) {
  for (const char* bad :
       {"//",        "//a",      "/a//b",     "/./a",   "/a/.",         "/a/./b",      "/../a",
        "/a/..",     "/a/../b",  "/%2e%2e/a", "/a/%2E", "/a%2f%2fb",    "/a%2f..%2fb", "/a\\b",
        "/a%5Cb",    "/a%00",    "/a%0d%0a",  "/a%7f",  "/a#b",         "/a%",         "/a%4",
        "/a%zz",     "/a%C0%AF", "/a%ff",     "/a\"b",  "/a<b",         "a",           "",
        "v1/models", "*",        "/a\x80",    "/a\tb",  "javascript:x", "ftp://h/a",   "http:/h/a",
        "h:80"}) {
    EXPECT_EQ(Parse(bad).status, 400) << bad;
  }
}

TEST(Target, AbsoluteFormMustNameTheHostOfTheHostField) {
  EXPECT_EQ(Parse("http://h/a?b").path, "/a");
  EXPECT_EQ(Parse("http://h/a?b").query, "b");
  EXPECT_EQ(Parse("HTTP://H/a").path, "/a");
  EXPECT_EQ(Parse("https://h:8080/a", "h:8080").path, "/a");
  EXPECT_EQ(Parse("http://h").path, "/");
  EXPECT_EQ(Parse("http://h?q").path, "/");
  EXPECT_EQ(Parse("http://h?q").query, "q");
  for (const char* bad : {"http://other/a", "http://h:1/a", "http://h@evil/a", "http:///a",
                          "http://", "http://h\\@x/a", "http://h//a", "http://h/../a"}) {
    EXPECT_EQ(Parse(bad).status, 400) << bad;
  }
}

TEST(Target, AsteriskIsForOptions) {
  EXPECT_EQ(Parse("*", "h", "OPTIONS").path, "*");
  EXPECT_EQ(Parse("*", "h", "GET").status, 400);
}

TEST(Host, TakesNamesAddressesAndPorts) {
  for (const char* good :
       {"a", "localhost:8080", "example.com", "127.0.0.1:1", "[::1]", "[::1]:65535",
        "[fe80::1:2.3.4.5]:0", "xn--e1afmkfd", "a_b", "h:", "[::1]:"}) {
    EXPECT_TRUE(ValidHost(good)) << good;
  }
  for (const char* bad : {"",    "a/b",     "a?b",    "a#b",   "a@b",      "a\\b", "a b",
                          "a:b", "a:65536", "a:-1",   "a:1:2", "a:000001", ":80",  "[::1",
                          "[]",  "[::1]x",  "[g::1]", "a%41",  "a\"",      "a<",   "é"}) {
    EXPECT_FALSE(ValidHost(bad)) << bad;
  }
}

}  // namespace
}  // namespace pelton::net
