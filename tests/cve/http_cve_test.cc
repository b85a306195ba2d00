// HTTP failures that others published, replayed against our listener over real sockets. The name of
// a test says whose failure it is; the comment says what was wrong there.
#include <gtest/gtest.h>

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/cpu.h"
#include "net/http.h"
#include "net/request_reader.h"
#include "net/test_client.h"

namespace pelton::net {
namespace {

using std::string_view_literals::operator""sv;

constexpr uint64_t kBodyBytesMax = 16u << 20;

// Answers everything with the path, and remembers what it saw.
class Recorder final : public Handler {
 public:
  HeadDecision OnHead(const RequestHead& head) override {
    const std::lock_guard lock(mutex_);
    heads_.push_back(head);
    return {.refuse = std::nullopt, .body_bytes_max = kBodyBytesMax};
  }
  void OnRequest(std::shared_ptr<Exchange> exchange) override {
    exchange->Respond({.status = 200, .headers = {}, .body = exchange->head().path});
  }
  Response OnProtocolError(int status, std::string_view reason) override {
    return {.status = status, .headers = {}, .body = std::string(reason)};
  }
  std::vector<RequestHead> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(heads_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<RequestHead> heads_;
};

class HttpCve : public testing::Test {
 protected:
  void SetUp() override { StartServer({}); }
  void StartServer(ServerOptions options) {
    options.port = 0;
    server = std::move(HttpServer::Start(options, handler)).value();
  }
  // The status of the answer to `bytes`.
  int StatusOf(std::string_view bytes) {
    TestClient client(server->port());
    client.Send(bytes);
    const std::string answer = client.ReadAnswer();
    return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
  }
  void ExpectRefused(std::string_view bytes, int status) {
    TestClient client(server->port());
    client.Send(bytes);
    EXPECT_TRUE(client.ReadToEnd()) << testing::PrintToString(bytes);
    EXPECT_TRUE(client.got.starts_with("HTTP/1.1 " + std::to_string(status)))
        << testing::PrintToString(bytes) << " got " << client.got.substr(0, 200);
  }
  // How many bytes of an endless `piece` the server lets in before it closes.
  size_t Flood(std::string_view first, std::string_view piece, int* status) {
    TestClient client(server->port());
    EXPECT_TRUE(client.Send(first));
    size_t sent = 0;
    while (sent < (256u << 20) && client.Send(piece)) sent += piece.size();
    client.ReadToEnd();
    *status = client.got.size() > 12 ? std::stoi(client.got.substr(9, 3)) : 0;
    return sent;
  }

  Recorder handler;
  std::unique_ptr<HttpServer> server;
};

// Sanitizers keep freed memory and add to each allocation.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kMemoryFactor = 8;
#else
constexpr int64_t kMemoryFactor = 1;
#endif

int64_t ResidentBytes() { return static_cast<int64_t>(ReadMemoryState().resident_bytes); }

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n";
constexpr std::string_view kPost = "POST /a HTTP/1.1\r\nHost: h\r\n";

// ---- 23: limits looked at only after everything was buffered

// vLLM: a header of any size was taken before anybody looked at its length.
TEST_F(HttpCve, Cve_2025_48956_GiantHeaderLineStopsAtTheLimit) {
  const int64_t before = ResidentBytes();
  int status = 0;
  const size_t sent = Flood(std::string(kGet) + "X: ", std::string(64 << 10, 'a'), &status);
  // The limit, what the linger throws away, and the kernel's buffers.
  EXPECT_LT(sent, 32u << 20);
  EXPECT_TRUE(status == 431 || status == 0) << status;  // 0: a reset overtook the answer
  EXPECT_LT(ResidentBytes() - before, kMemoryFactor * (8 << 20));
  ExpectRefused(std::string(kGet) + "X: " + std::string(20'000, 'a'), 431);
}

// cpp-httplib: any number of header fields.
TEST_F(HttpCve, Cve_2025_52887_AMillionHeadersStopAtTheLimit) {
  int status = 0;
  std::string piece;
  for (int i = 0; i < 1'000; ++i) piece += "a:b\r\n";
  EXPECT_LT(Flood(kGet, piece, &status), 32u << 20);
  std::string fits(kGet);
  for (int i = 0; i < 99; ++i) fits += "a:b\r\n";
  EXPECT_EQ(StatusOf(fits + "\r\n"), 200);
  ExpectRefused(fits + "a:b\r\n\r\n", 431);
}

// cpp-httplib: a chunked body had no limit at all.
TEST_F(HttpCve, Cve_2025_46728_AnEndlessChunkedBodyStopsAtTheLimit) {
  int status = 0;
  const size_t sent = Flood(std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n",
                            "10000\r\n" + std::string(65'536, 'x') + "\r\n", &status);
  EXPECT_LT(sent, kBodyBytesMax + (16u << 20));
  EXPECT_TRUE(status == 413 || status == 0) << status;
  ExpectRefused(std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n1000001\r\n", 413);
}

// cpp-httplib: a request line, header or chunk line without a line break was read for ever.
TEST_F(HttpCve, Cve_2025_53628_NoLineBreakStopsAtTheLimit) {
  int status = 0;
  EXPECT_LT(Flood("", std::string(64 << 10, 'A'), &status), 32u << 20);
  EXPECT_LT(Flood("GET /", std::string(64 << 10, 'A'), &status), 32u << 20);
  ExpectRefused("GET /" + std::string(9'000, 'A'), 414);
  ExpectRefused(std::string(100, 'A'), 400);
  const std::string chunked = std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n";
  ExpectRefused(chunked + std::string(100, '0'), 400);
  ExpectRefused(chunked + "1;" + std::string(1'000, 'a'), 400);
}

// cpp-httplib 0.43.4: "-2" was a chunk size; elsewhere 2^64 wrapped to 0.
TEST_F(HttpCve, CppHttplib_ChunkSizesThatWrapAreRefused) {
  const std::string chunked = std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n";
  for (auto size :
       {"-2"sv, "-1"sv, "+1"sv, "0x1"sv, "10000000000000000"sv, "10000000000000005"sv,
        "00000000000000000"sv, "1 "sv, " 1"sv, "1\t"sv, "1_0"sv, "G"sv, ""sv, "1\0"sv}) {
    ExpectRefused(chunked + std::string(size) + "\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
                  400);
  }
  for (auto size :
       {"ffffffffffffffff"sv, "7fffffffffffffff"sv, "8000000000000000"sv, "fffffff0"sv}) {
    ExpectRefused(chunked + std::string(size) + "\r\n", 413);
  }
  for (const RequestHead& head : handler.Take()) EXPECT_EQ(head.path, "/a");
}

// ---- 24: Triton took stack for each chunk

// Triton: alloca a chunk; 3 MB of one-byte chunks ran over the stack. R12: time stays linear.
TEST_F(HttpCve, Cve_2025_23310_TenMillionOneByteChunksNeedNoStackAndLinearTime) {
  constexpr int kChunks = 10'000'000;
  struct Work {
    size_t body_bytes = 0;
    double seconds_first = 0, seconds_last = 0;
  } work;
  const auto read_all = [](void* argument) -> void* {
    Work& out = *static_cast<Work*>(argument);
    RequestReader reader{ReaderLimits{}};
    std::string_view head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    if (reader.Next(&head) != RequestReader::Event::kHead) return nullptr;
    reader.StartBody(kBodyBytesMax);
    std::string many;
    for (int i = 0; i < 10'000; ++i) many += "1\r\nx\r\n";
    for (int round = 0; round < kChunks / 10'000; ++round) {
      const auto began = std::chrono::steady_clock::now();
      std::string_view bytes = many;
      if (reader.Next(&bytes) != RequestReader::Event::kNeedMore) return nullptr;
      const double s =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
      (round < kChunks / 20'000 ? out.seconds_first : out.seconds_last) += s;
    }
    std::string_view last = "0\r\n\r\n";
    if (reader.Next(&last) == RequestReader::Event::kRequest) out.body_bytes = reader.body().size();
    return nullptr;
  };
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 << 10), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, read_all, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  EXPECT_EQ(work.body_bytes, static_cast<size_t>(kChunks));
  EXPECT_LT(work.seconds_last, 4 * work.seconds_first + 0.5);
}

TEST_F(HttpCve, Cve_2025_23311_MillionOneByteChunksOverTheWire) {
  TestClient client(server->port());
  client.Send(std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n");
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "1\r\nx\r\n";
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client.Send(many));
  client.Send("0\r\n\r\n");
  EXPECT_TRUE(client.ReadAnswer(30'000).starts_with("HTTP/1.1 200 "));
}

// ---- 25: the limit was applied to the compressed size

// cpp-httplib: a small gzip body became gigabytes. We read no compressed body at all.
TEST_F(HttpCve, Cve_2026_22776_CompressedBodiesAreRefusedUnread) {
  for (auto coding : {"gzip"sv, "GZIP"sv, "x-gzip"sv, "deflate"sv, "br"sv, "zstd"sv,
                      "identity, gzip"sv, "gzip, identity"sv, "gzip,gzip"sv}) {
    ExpectRefused(std::string(kPost) + "Content-Encoding: " + std::string(coding) +
                      "\r\nContent-Length: 10485760\r\n\r\n\x1f\x8b", 415);
  }
  EXPECT_TRUE(handler.Take().empty());
}

// ---- 26 and R9: one request read as two

// cpp-httplib: the body of a GET was left in the stream and read as the next request.
TEST_F(HttpCve, Cve_2026_34441_TheBodyOfAGetIsNotARequest) {
  for (auto method : {"GET"sv, "HEAD"sv, "DELETE"sv, "OPTIONS"sv, "POST"sv, "FOO"sv}) {
    const std::string evil = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    const std::string head = std::string(method) + " /a HTTP/1.1\r\nHost: h\r\n";
    TestClient client(server->port());
    client.Send(head + "Content-Length: " + std::to_string(evil.size()) + "\r\n\r\n" + evil);
    client.Send(head + "Transfer-Encoding: chunked\r\n\r\n" + "23\r\n" + evil + "\r\n0\r\n\r\n");
    client.Send("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(client.ReadToEnd());
    const auto heads = handler.Take();
    ASSERT_EQ(heads.size(), 3u) << method;
    EXPECT_EQ(heads[2].path, "/last");
  }
}

// Every way to doubt where a request ends: refused and closed, and nothing behind it is looked at.
TEST_F(HttpCve, R9_SmugglingCorpusIsRefusedAndTheConnectionClosed) {
  std::vector<std::string> framings;
  const std::string_view codings[] = {"chunked, identity",
                                      "identity, chunked",
                                      "identity",
                                      "chunked, chunked",
                                      "gzip, chunked",
                                      "xchunked",
                                      "chunkedx",
                                      "chunked;",
                                      "chunked;q=1",
                                      "\"chunked\"",
                                      "'chunked'",
                                      "chunk",
                                      ",chunked",
                                      "chunked,",
                                      "cow",
                                      "\x0B"
                                      "chunked",
                                      "chunked\x0C",
                                      "ch\tunked",
                                      "chunked\x01",
                                      "\x7F"
                                      "chunked",
                                      "0",
                                      "",
                                      "chunked\r\n\tidentity",
                                      "\r\n chunked",
                                      "chu\xC5\xBFked",
                                      "chunked\rX: y",
                                      "chunked\nX: y"};
  for (const std::string_view coding : codings) {
    const std::string field = "Transfer-Encoding: " + std::string(coding) + "\r\n";
    framings.push_back(field);
    framings.push_back("Content-Length: 5\r\n" + field);
    framings.push_back(field + "Content-Length: 5\r\n");
    framings.push_back(field + "Transfer-Encoding: chunked\r\n");
  }
  for (auto field : {"Transfer-Encoding : chunked"sv,
                     "Transfer-Encoding\t: chunked"sv,
                     " Transfer-Encoding: chunked"sv,
                     "Transfer-Encoding\x01: chunked"sv,
                     "Transfer Encoding: chunked"sv,
                     "Transfer-Encoding\r: chunked"sv,
                     "X: y\nTransfer-Encoding: chunked"sv,
                     "X: y\rTransfer-Encoding: chunked"sv,
                     "Transfer-Encoding"sv,
                     "Content-Length: 5\r\nTransfer-Encoding: chunked"sv,
                     "Transfer-Encoding: chunked\r\nContent-Length: 5"sv,
                     "Content-Length : 5"sv,
                     "Content-Length: 5\r\nContent-Length: 6"sv,
                     "Content-Length: 5\r\nContent-Length: 5"sv,
                     "Content-Length: 5, 5"sv,
                     "Content-Length: 5,6"sv,
                     "Content-Length: +5"sv,
                     "Content-Length: -5"sv,
                     "Content-Length: 5 6"sv,
                     "Content-Length: 0x5"sv,
                     "Content-Length: 5.0"sv,
                     "Content-Length: 5e0"sv,
                     "Content-Length: \"5\""sv,
                     "Content-Length: "sv,
                     "Content-Length: 5\r\n\t6"sv,
                     "Content-Length: 5\x0B"sv,
                     "Content-Length: 18446744073709551621"sv,
                     "Content-Length: \xD9\xA5"sv,
                     "Content-Length 5"sv,
                     "Content-Length: 5\nX: y"sv,
                     "Host: h2"sv,
                     "Host : h"sv,
                     "\r\nGET /smuggled HTTP/1.1\r\n: x"sv}) {
    framings.push_back(std::string(field) + "\r\n");
  }
  framings.pop_back();  // that one is a whole first request: see the next test
  ASSERT_GE(framings.size(), 120u);
  for (const std::string& framing : framings) {
    ExpectRefused(
        std::string(kPost) + framing + "\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        400);
  }
  for (const RequestHead& head : handler.Take()) EXPECT_NE(head.path, "/smuggled");
  EXPECT_EQ(server->Stats().requests, 0u);
}

// The same in chunked bodies, where a lenient reader and a strict one would see different ends.
TEST_F(HttpCve, R9_SmugglingInChunksIsRefusedAndTheConnectionClosed) {
  const std::string chunked = std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string evil = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
  for (auto body : {"5\nhello\r\n0\r\n\r\n"sv, "5\r\nhello\n0\r\n\r\n"sv, "5\r\nhello0\r\n\r\n"sv,
                    "5\r\nhelloX\r\n0\r\n\r\n"sv, "5\rXhello\r\n0\r\n\r\n"sv,
                    "5;a\nhello\r\n0\r\n\r\n"sv, "5;\rx\r\nhello\r\n"sv, "0\n\r\n"sv, "0\r\n\n"sv,
                    "0\r\nX\r\n\r\n"sv, "0\r\n X: y\r\n\r\n"sv, "0\r\nX : y\r\n\r\n"sv,
                    "0\r\nX: y\n\r\n"sv, "0\r\n\rX"sv, "5\r\n\r\nhello\r\n"sv, "05 \r\nhello\r\n"sv,
                    "5,5\r\nhello\r\n"sv, "\r\n5\r\nhello\r\n"sv}) {
    ExpectRefused(chunked + std::string(body) + evil, 400);
  }
  for (const RequestHead& head : handler.Take()) EXPECT_EQ(head.path, "/a");
}

// ---- 27: facts about the peer taken from its own headers

// cpp-httplib: "REMOTE_ADDR: …" replaced the peer's address, which is kept among the headers there.
TEST_F(HttpCve, Cve_2025_66570_HeadersDoNotShadowThePeer) {
  for (auto name : {"REMOTE_ADDR"sv, "REMOTE_PORT"sv, "LOCAL_ADDR"sv, "X-Forwarded-For"sv,
                    "Forwarded"sv, "X-Real-IP"sv, "True-Client-IP"sv, "peer"sv, "Client-IP"sv}) {
    TestClient client(server->port());
    client.Send(std::string(kGet) + std::string(name) + ": 8.8.8.8\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(client.ReadToEnd());
    const auto heads = handler.Take();
    ASSERT_EQ(heads.size(), 1u);
    EXPECT_TRUE(heads[0].peer.starts_with("127.0.0.1:")) << name;
    EXPECT_TRUE(heads[0].peer_is_loopback);
  }
}

// An empty list of forwarding addresses was indexed without a look.
TEST_F(HttpCve, Cve_2026_46527_EmptyForwardingFieldsAreHarmless) {
  for (auto value : {""sv, ","sv, " , ,"sv, "unknown"sv, ",,,,"sv}) {
    EXPECT_EQ(StatusOf(std::string(kGet) + "X-Forwarded-For: " + std::string(value) + "\r\n\r\n"),
              200);
  }
}

// ---- 30: the path that was checked was not the path that was served

// vLLM and LiteLLM: the check used a URL built from Host, the router the request's own path.
TEST_F(HttpCve, Cve_2026_48746_NoHostChangesThePath) {
  for (auto host : {"h/v1/models?"sv, "h?x"sv,         "h#x"sv,      "a@h"sv,       "h\\x"sv,
                    "h/"sv,           "/"sv,           "?"sv,        "#"sv,         "@"sv,
                    "\\"sv,           "h:80/health"sv, "h:80?"sv,    "h:80#"sv,     "h:x"sv,
                    "h h"sv,          "h%2fhealth"sv,  "http://h"sv, "h\thealth"sv, "[::1]/x"sv,
                    "h:80@x"sv}) {
    ExpectRefused("GET /admin HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n", 400);
  }
  EXPECT_TRUE(handler.Take().empty());
}

TEST_F(HttpCve, Cve_2026_49468_AbsoluteFormGivesOnePathOrNone) {
  for (auto target :
       {"http://other/health"sv, "http://h@other/health"sv, "http://h\\health"sv,
        "http://h:80:80/"sv, "http:/health"sv, "http:health"sv, "//h/health"sv,
        "http://h/../health"sv, "http://h//health"sv, "http://h/health#/admin"sv,
        "http://h/%2e%2e/admin"sv, "h/health"sv, "\\health"sv, "/health/..;/admin\\"sv,
        "/health/%2e%2e/admin"sv, "/health%00/admin"sv, "/health%5c..%5cadmin"sv}) {
    ExpectRefused("GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n\r\n", 400);
  }
  EXPECT_TRUE(handler.Take().empty());
  EXPECT_EQ(StatusOf("GET http://h/admin?x HTTP/1.1\r\nHost: h\r\n\r\n"), 200);
  const auto heads = handler.Take();
  ASSERT_EQ(heads.size(), 1u);
  EXPECT_EQ(heads[0].path, "/admin");
  EXPECT_EQ(heads[0].query, "x");
}

// ---- R6 and R8: memory of connections

TEST_F(HttpCve, R6_ConnectionsThatSendUpToTheirLimitsHoldNoMore) {
  constexpr int kConnections = 200;
  const std::string head =
      "GET /" + std::string(8'000, 'a') + " HTTP/1.1\r\nHost: h\r\nX: " + std::string(16'000, 'b');
  const int64_t before = ResidentBytes();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < kConnections; ++i) {
    clients.push_back(std::make_unique<TestClient>(server->port()));
    clients.back()->Send(head);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const int64_t each = (ResidentBytes() - before) / kConnections;
  // The limits, and again for strings that grow by doubling.
  EXPECT_LT(each, kMemoryFactor * (8'192 + 16'384 + 2 * 16'384));
}

TEST_F(HttpCve, R8_ThousandsOfSlowConnectionsCostLittleEach) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const int connections =
      files.rlim_cur >= 9'000 ? 4'000 : static_cast<int>(files.rlim_cur / 2 - 100);
  const int64_t before = ResidentBytes();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < connections; ++i) {
    clients.push_back(std::make_unique<TestClient>(server->port()));
    ASSERT_TRUE(clients.back()->connected()) << i;
    if (i % 2 == 0) clients.back()->Send("GET /a HTTP/1.1\r\nHost: h\r\nX-Slow");
  }
  for (int i = 0; i < 100 && server->Stats().connections < connections; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(server->Stats().connections, connections);
  const int64_t each = (ResidentBytes() - before) / connections;
  RecordProperty("bytes_a_connection", static_cast<int>(each));
  EXPECT_LT(each, kMemoryFactor * (16 << 10));
  EXPECT_EQ(StatusOf(std::string(kGet) + "\r\n"), 200);  // and others are served
}

}  // namespace
}  // namespace pelton::net
