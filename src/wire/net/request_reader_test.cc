#include "net/request_reader.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace pelton::net {
namespace {

using std::string_view_literals::operator""sv;

struct Read {
  int status = 0;  // of the refusal; 0 when nothing was refused
  std::string reason;
  std::vector<std::string> requests;  // "METHOD path body"
};

Read ReadAll(std::string_view bytes, const ReaderLimits& limits = {}, size_t piece = SIZE_MAX,
             uint64_t body_bytes_max = 1 << 20) {
  RequestReader reader(limits);
  Read read;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    while (true) {
      const auto event = reader.Next(&part);
      if (event == RequestReader::Event::kNeedMore) break;
      if (event == RequestReader::Event::kHead) {
        reader.StartBody(body_bytes_max);
      } else if (event == RequestReader::Event::kRequest) {
        read.requests.push_back(reader.head().method + " " + reader.head().path + " " +
                                reader.body());
        reader.Reset();
        if (part.empty()) break;
      } else {
        read.status = reader.refusal().status;
        read.reason = reader.refusal().reason;
        return read;
      }
    }
  }
  return read;
}

int StatusOf(std::string_view bytes, const ReaderLimits& limits = {}) {
  return ReadAll(bytes, limits).status;
}

std::string WithHeader(std::string_view line) {
  return "GET /a HTTP/1.1\r\nHost: h\r\n" + std::string(line) + "\r\n\r\n";
}

TEST(RequestReader, AnyPiecesGiveTheSameRequests) {
  const std::string bytes =
      "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
      "\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
      "POST /c HTTP/1.1\r\nHost:h\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nT: "
      "x\r\n\r\n"
      "DELETE /d HTTP/1.0\r\n\r\n";
  const std::vector<std::string> expected{"GET /a ", "POST /b hello", "POST /c abc", "DELETE /d "};
  EXPECT_EQ(ReadAll(bytes).requests, expected);
  for (size_t piece = 1; piece < 40; ++piece)
    EXPECT_EQ(ReadAll(bytes, {}, piece).requests, expected);
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(ReadAll(bytes, {}, 1 + random.Below(bytes.size())).requests, expected);
  }
}

TEST(RequestReader, FillsTheHead) {
  RequestReader reader{ReaderLimits{}};
  std::string_view bytes =
      "POST /v1/x%41?q=1 HTTP/1.1\r\nHost: example.com:80\r\nAccept:  a , b \r\nx-a: 1\r\nX-A: "
      "2\r\n"
      "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\nabc"sv;
  ASSERT_EQ(reader.Next(&bytes), RequestReader::Event::kHead);
  const RequestHead& head = reader.head();
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/v1/x%41?q=1");
  EXPECT_EQ(head.path, "/v1/xA");
  EXPECT_EQ(head.query, "q=1");
  EXPECT_EQ(head.content_length, 3u);
  EXPECT_EQ(head.headers.Find("ACCEPT"), "a , b");
  EXPECT_EQ(head.headers.Count("X-A"), 2u);
  EXPECT_EQ(head.headers.Find("X-A"), "1");
  EXPECT_TRUE(reader.facts().expects_continue);
  EXPECT_EQ(bytes, "abc");  // nothing of the body is taken before StartBody
}

TEST(RequestReader, RefusesBadRequestLines) {
  for (auto bad : {"GET\r\n"sv, "GET /\r\n"sv, "GET / HTTP/1.1 x\r\n"sv, "GET  / HTTP/1.1\r\n"sv,
                   " GET / HTTP/1.1\r\n"sv, "GET\t/ HTTP/1.1\r\n"sv, "GET / HTTP/1.1\n"sv,
                   "GET / http/1.1\r\n"sv, "GET / HTTP/1.11\r\n"sv, "GET / HTTP/x.1\r\n"sv,
                   "G@T / HTTP/1.1\r\n"sv, "GET /\0 HTTP/1.1\r\n\r\n"sv, "\r\n\r\nGET"sv, "\nGET"sv,
                   "GET / HTTP/1.1\r\r\n"sv, "{\"a\":1}\r\n"sv, "\x16\x03\x01\x02\x00\x01\r\n"sv,
                   "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"sv}) {
    EXPECT_EQ(StatusOf(bad), 400) << testing::PrintToString(bad);
  }
  EXPECT_EQ(StatusOf("GET / HTTP/2.0\r\n"), 505);
  EXPECT_EQ(StatusOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(StatusOf("GET / HTTP/1.2\r\n"), 505);
  EXPECT_EQ(StatusOf("GET / HTTP/0.9\r\n"), 505);
}

TEST(RequestReader, RefusesBadFieldLines) {
  for (auto bad : {"X : a"sv, "X\t: a"sv, " X: a"sv, "\tX: a"sv, "X"sv, ": a"sv, "X Y: a"sv,
                   "X: a\rb"sv, "X: a\0b"sv, "X: a\x01"sv, "X: \x7F"sv, "X(: a"sv, "X\x80: a"sv,
                   "A: b\r\n c: d"sv, "A: b\r\n\tc"sv, "X: a\nY: b"sv}) {
    EXPECT_EQ(StatusOf(WithHeader(bad)), 400) << testing::PrintToString(bad);
  }
  EXPECT_EQ(StatusOf(WithHeader("X: \xC3\xA9\x80 tab\there")), 0);
  EXPECT_EQ(StatusOf(WithHeader("X:")), 0);
}

TEST(RequestReader, RefusesDoubtfulFraming) {
  for (auto bad : {"Content-Length: 1\r\nTransfer-Encoding: chunked"sv,
                   "Transfer-Encoding: chunked\r\nContent-Length: 1"sv,
                   "Content-Length: 1\r\nContent-Length: 2"sv,
                   "Content-Length: 1\r\nContent-Length: 1"sv,
                   "Content-Length: 1, 1"sv,
                   "Content-Length: -1"sv,
                   "Content-Length: +1"sv,
                   "Content-Length: 0x1"sv,
                   "Content-Length: 1 1"sv,
                   "Content-Length:"sv,
                   "Content-Length: 1e3"sv,
                   "Content-Length: 1."sv,
                   "Content-Length: 18446744073709551616"sv,
                   "Content-Length: 99999999999999999999999"sv,
                   "Transfer-Encoding: gzip"sv,
                   "Transfer-Encoding: gzip, chunked"sv,
                   "Transfer-Encoding: chunked, gzip"sv,
                   "Transfer-Encoding: chunked, chunked"sv,
                   "Transfer-Encoding: xchunked"sv,
                   "Transfer-Encoding: \"chunked\""sv,
                   "Transfer-Encoding: identity"sv,
                   "Transfer-Encoding:"sv,
                   "Transfer-Encoding: chunked;q=1"sv,
                   "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"sv,
                   "Transfer-Encoding : chunked"sv,
                   "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"sv,
                   "Transfer-Encoding: \x0B"
                   "chunked"sv}) {
    EXPECT_EQ(StatusOf(WithHeader(bad)), 400) << testing::PrintToString(bad);
  }
  EXPECT_EQ(StatusOf("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(WithHeader("Transfer-Encoding: CHUNKED")), 0);
}

TEST(RequestReader, RefusesCompressedBodiesAndOtherExpectations) {
  EXPECT_EQ(StatusOf(WithHeader("Content-Encoding: gzip")), 415);
  EXPECT_EQ(StatusOf(WithHeader("Content-Encoding: identity, gzip")), 415);
  EXPECT_EQ(StatusOf(WithHeader("Content-Encoding: identity\r\nContent-Encoding: br")), 415);
  EXPECT_EQ(StatusOf(WithHeader("Content-Encoding: Identity")), 0);
  EXPECT_EQ(StatusOf(WithHeader("Expect: 100-continue, x")), 417);
}

TEST(RequestReader, NeedsOneValidHost) {
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.0\r\n\r\n"), 0);
  EXPECT_EQ(StatusOf("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n"), 400);
}

TEST(RequestReader, BothSidesOfTheTargetLimit) {
  const ReaderLimits limits{.target_bytes_max = 100};
  const auto line = [](size_t n) {
    return "GET /" + std::string(n - 1, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  };
  EXPECT_EQ(StatusOf(line(100), limits), 0);
  EXPECT_EQ(StatusOf(line(101), limits), 414);
  EXPECT_EQ(ReadAll(line(101), limits, 1).status, 414);
  EXPECT_EQ(StatusOf(std::string(32, 'M') + line(100).substr(3), limits), 0);
  EXPECT_EQ(StatusOf(std::string(33, 'M') + line(100).substr(3), limits), 400);
}

TEST(RequestReader, LimitsAreAppliedBeforeALineIsWhole) {
  const ReaderLimits limits{.target_bytes_max = 100, .header_bytes_max = 200};
  EXPECT_EQ(StatusOf("GET /" + std::string(200, 'a'), limits), 414);
  EXPECT_EQ(StatusOf(std::string(33, 'M'), limits), 400);
  EXPECT_EQ(StatusOf(std::string(32, 'M'), limits), 0);
  EXPECT_EQ(StatusOf("\x16\x03\x01", limits), 400);  // TLS, at its first byte
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(300, 'a'), limits), 431);
}

TEST(RequestReader, BothSidesOfTheHeaderLimits) {
  const ReaderLimits limits{.header_bytes_max = 200, .header_count_max = 5};
  const auto bytes = [](size_t n) {  // field lines of n bytes together, with their CRLFs
    return "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(n - 9 - 5, 'a') + "\r\n\r\n";
  };
  EXPECT_EQ(StatusOf(bytes(200), limits), 0);
  EXPECT_EQ(StatusOf(bytes(201), limits), 431);
  EXPECT_EQ(ReadAll(bytes(201), limits, 1).status, 431);
  const auto count = [](int n) {
    std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (int i = 1; i < n; ++i) head += "X: y\r\n";
    return head + "\r\n";
  };
  EXPECT_EQ(StatusOf(count(5), limits), 0);
  EXPECT_EQ(StatusOf(count(6), limits), 431);
}

TEST(RequestReader, BothSidesOfTheBodyLimit) {
  const auto body = [](size_t n) {
    return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(n) + "\r\n\r\n" +
           std::string(n, 'x');
  };
  EXPECT_EQ(ReadAll(body(10), {}, 1, 10).requests.size(), 1u);
  EXPECT_EQ(ReadAll(body(11), {}, 1, 10).status, 413);
  EXPECT_EQ(
      ReadAll("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n").status,
      413);
}

TEST(RequestReader, ABodyOfGetIsNeverReadAsTheNextRequest) {
  const Read read = ReadAll(
      "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 29\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n"
      "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_EQ(read.requests.size(), 2u);
  EXPECT_EQ(read.requests[1], "GET /b ");
}

TEST(RequestReader, ConnectionFieldDecidesOnKeepingAlive) {
  const auto keeps = [](std::string_view bytes) {
    RequestReader reader{ReaderLimits{}};
    EXPECT_EQ(reader.Next(&bytes), RequestReader::Event::kHead);
    return reader.facts().keep_alive;
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

}  // namespace
}  // namespace pelton::net
