#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "net/http.h"
#include "net/test_client.h"

namespace pelton::net {
namespace {

// Answers by path:
//   /echo    method, path, query and body back
//   /hold    keeps the exchange for the test, which answers it
//   /drop    lets the exchange go unanswered
//   /refuse  refused on the head, 401
class TestHandler final : public Handler {
 public:
  HeadDecision OnHead(const RequestHead& head) override {
    if (head.path == "/refuse") {
      return {.refuse = Response{.status = 401, .headers = {}, .body = "no key"}};
    }
    return {.refuse = std::nullopt, .body_bytes_max = body_bytes_max};
  }
  void OnRequest(std::shared_ptr<Exchange> exchange) override {
    const RequestHead& head = exchange->head();
    if (head.path == "/drop") return;
    if (head.path == "/hold") {
      const std::lock_guard lock(mutex_);
      held_.push_back(std::move(exchange));
      came_.notify_all();
      return;
    }
    Response response;
    response.headers.Add("Content-Type", "text/plain");
    response.body = head.method + " " + head.path + " " + head.query + " " + exchange->body();
    exchange->Respond(std::move(response));
  }
  Response OnProtocolError(int status, std::string_view reason) override {
    return {.status = status, .headers = {}, .body = std::string(reason)};
  }

  std::shared_ptr<Exchange> TakeHeld() {
    std::unique_lock lock(mutex_);
    if (!came_.wait_for(lock, std::chrono::seconds(5), [&] { return !held_.empty(); })) return nullptr;
    auto exchange = std::move(held_.front());
    held_.erase(held_.begin());
    return exchange;
  }

  uint64_t body_bytes_max = 1 << 20;

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<std::shared_ptr<Exchange>> held_;
};

// A flag that an io thread sets and a test waits for.
class Signal {
 public:
  void Set() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool Wait(int count = 1, int timeout_ms = 5'000) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                             [&] { return count_ >= count; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

class ServerTest : public testing::Test {
 protected:
  void StartServer(ServerOptions options = {}) {
    options.port = 0;
    auto started = HttpServer::Start(options, handler);
    ASSERT_TRUE(started.ok()) << started.status().ToString();
    server = std::move(*started);
  }
  int port() const { return server->port(); }

  TestHandler handler;
  std::unique_ptr<HttpServer> server;
};

constexpr std::string_view kGetHold = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kGetEcho = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  StartServer();
  TestClient client(port());
  for (int i = 0; i < 3; ++i) {
    client.Send("POST /echo?x=" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    const std::string answer = client.ReadAnswer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\nDate: ")) << answer;
    EXPECT_TRUE(answer.ends_with("POST /echo x=" + std::to_string(i) + " hi")) << answer;
    EXPECT_EQ(answer.find("Connection:"), std::string::npos);
  }
  EXPECT_EQ(server->Stats().requests, 3u);
  EXPECT_EQ(server->Stats().accepted, 1u);
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  StartServer();
  TestClient client(port());
  std::string all;
  for (int i = 0; i < 200; ++i) {
    all += "GET /" + std::string(i % 10 == 3 ? "hold" : "echo") + "?" + std::to_string(i) +
           " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  client.Send(all);
  for (int i = 0; i < 200; ++i) {
    if (i % 10 == 3) {
      auto exchange = handler.TakeHeld();
      ASSERT_NE(exchange, nullptr);
      exchange->Respond({.status = 200, .headers = {}, .body = "held " + exchange->head().query});
    }
    const std::string answer = client.ReadAnswer();
    EXPECT_NE(answer.find((i % 10 == 3 ? "held " : "GET /echo ") + std::to_string(i)),
              std::string::npos) << answer;
  }
}

TEST_F(ServerTest, MorePipelinedThanIsReadAheadIsStillAnsweredWhole) {
  StartServer();
  TestClient client(port());
  std::string all(kGetHold);
  const std::string padded = "GET /echo HTTP/1.1\r\nHost: a\r\nX: " + std::string(8'000, 'x') + "\r\n\r\n";
  for (int i = 0; i < 40; ++i) all += padded;  // 320 KB, five times what is read ahead
  std::jthread sender([&] { client.Send(all); });
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  exchange->Respond({.status = 200, .headers = {}, .body = "first"});
  EXPECT_TRUE(client.ReadAnswer().ends_with("first"));
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(client.ReadAnswer().ends_with("GET /echo  ")) << i;
}

TEST_F(ServerTest, StreamsChunks) {
  StartServer();
  TestClient client(port());
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Headers headers;
  headers.Add("Content-Type", "text/event-stream");
  exchange->StartStream(200, headers);
  exchange->Write("data: 1\n\n");
  EXPECT_TRUE(client.ReadUntil("9\r\ndata: 1\n\n\r\n"));
  exchange->Write("");  // must not end the stream
  exchange->Write(std::string(300, 'x'));
  exchange->Finish();
  EXPECT_TRUE(client.ReadUntil("\r\n12c\r\n" + std::string(300, 'x') + "\r\n0\r\n\r\n"));
  EXPECT_NE(client.got.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  client.got.clear();
  client.Send(kGetEcho);
  EXPECT_FALSE(client.ReadAnswer().empty());
}

TEST_F(ServerTest, WritesFromManyThreadsToManyStreams) {
  StartServer({.io_threads = 2});
  constexpr int kStreams = 20;
  constexpr int kPieces = 200;
  std::vector<std::unique_ptr<TestClient>> clients;
  std::vector<std::jthread> writers;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<TestClient>(port()));
    clients.back()->Send(kGetHold);
    auto exchange = handler.TakeHeld();
    ASSERT_NE(exchange, nullptr);
    writers.emplace_back([exchange] {
      exchange->StartStream(200, {});
      for (int n = 0; n < kPieces; ++n) exchange->Write("<" + std::to_string(n) + ">");
      exchange->Finish();
    });
  }
  for (const auto& client : clients) {
    ASSERT_TRUE(client->ReadUntil("\r\n0\r\n\r\n"));
    size_t at = 0;
    for (int n = 0; n < kPieces; ++n) {
      at = client->got.find("<" + std::to_string(n) + ">", at);
      ASSERT_NE(at, std::string::npos) << n;
    }
  }
}

TEST_F(ServerTest, HeadHasNoBody) {
  StartServer();
  TestClient client(port());
  client.Send("HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string answer = client.ReadAnswer(5'000, /*is_head=*/true);
  EXPECT_NE(answer.find("Content-Length: 12\r\n"), std::string::npos) << answer;
  client.Send("HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n");
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  exchange->StartStream(200, {});
  exchange->Write("nothing of this");
  exchange->Finish();
  EXPECT_TRUE(client.ReadUntil("\r\n\r\n"));
  client.got.clear();
  client.Send(kGetEcho);
  EXPECT_TRUE(client.ReadAnswer().ends_with("GET /echo  "));  // nothing was left in between
}

TEST_F(ServerTest, DisconnectWhileGeneratingIsNoticed) {
  StartServer();
  for (const bool reset : {false, true}) {
    for (const bool streaming : {false, true}) {
      TestClient client(port());
      client.Send(kGetHold);
      auto exchange = handler.TakeHeld();
      ASSERT_NE(exchange, nullptr);
      Signal closed;
      exchange->OnClosed([&] { closed.Set(); });
      if (streaming) {
        exchange->StartStream(200, {});
        exchange->Write("x");
        ASSERT_TRUE(client.ReadUntil("x\r\n"));
      }
      EXPECT_EQ(closed.count(), 0);
      reset ? client.Reset() : client.Close();
      EXPECT_TRUE(closed.Wait());
      exchange->Write("into the void");
      exchange->Finish();
      Signal late;
      exchange->OnClosed([&] { late.Set(); });
      EXPECT_EQ(late.count(), 1);  // at once when the peer has gone already
      EXPECT_EQ(closed.count(), 1);
    }
  }
  EXPECT_TRUE(server->WaitIdle(5'000));
}

TEST_F(ServerTest, DisconnectIsNoticedBehindAFullReadAhead) {
  StartServer();
  TestClient client(port());
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Signal closed;
  exchange->OnClosed([&] { closed.Set(); });
  std::jthread sender([&] { client.Send(std::string(200'000, 'x')); });
  sender.join();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  client.Reset();
  EXPECT_TRUE(closed.Wait());
}

TEST_F(ServerTest, OnClosedIsNotCalledAfterACompleteAnswer) {
  StartServer();
  Signal closed;
  TestClient client(port());
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  exchange->OnClosed([&] { closed.Set(); });
  exchange->Respond({.status = 200, .headers = {}, .body = "ok"});
  EXPECT_FALSE(client.ReadAnswer().empty());
  client.Close();
  EXPECT_FALSE(closed.Wait(1, 200));
}

TEST_F(ServerTest, HalfCloseWhileGeneratingCountsAsGone) {
  StartServer();
  TestClient client(port());
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Signal closed;
  exchange->OnClosed([&] { closed.Set(); });
  client.ShutdownWrites();
  EXPECT_TRUE(closed.Wait());
  EXPECT_TRUE(client.ReadToEnd());
}

TEST_F(ServerTest, HalfCloseAfterAQuickRequestIsAnswered) {
  StartServer();
  for (int i = 0; i < 50; ++i) {
    TestClient client(port());
    client.Send(kGetEcho);
    client.ShutdownWrites();
    EXPECT_TRUE(client.ReadToEnd());
    EXPECT_TRUE(client.got.ends_with("GET /echo  ")) << client.got;
  }
}

TEST_F(ServerTest, AnAbandonedExchangeIs500AndAnAbandonedStreamIsCut) {
  StartServer();
  TestClient client(port());
  client.Send("GET /drop HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 500 "));
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  exchange->StartStream(200, {});
  exchange->Write("part");
  exchange.reset();
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_NE(client.got.find("4\r\npart\r\n"), std::string::npos);
  EXPECT_EQ(client.got.find("0\r\n\r\n"), std::string::npos);
}

TEST_F(ServerTest, AbortEndsWithoutALastChunk) {
  StartServer();
  TestClient client(port());
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Signal closed;
  exchange->OnClosed([&] { closed.Set(); });
  exchange->StartStream(200, {});
  exchange->Write("part");
  exchange->Abort();
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_TRUE(client.got.ends_with("4\r\npart\r\n"));
  EXPECT_FALSE(closed.Wait(1, 100));
}

TEST_F(ServerTest, Http10StreamEndsWithTheConnection) {
  StartServer();
  TestClient client(port());
  client.Send("GET /hold HTTP/1.0\r\n\r\n");
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  exchange->StartStream(200, {});
  exchange->Write("abc");
  exchange->Finish();
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_TRUE(client.got.ends_with("\r\n\r\nabc")) << client.got;
  EXPECT_EQ(client.got.find("chunked"), std::string::npos);
  EXPECT_NE(client.got.find("Connection: close\r\n"), std::string::npos);
}

TEST_F(ServerTest, KeepAliveFollowsVersionAndConnectionField) {
  StartServer();
  const auto closes = [&](std::string_view request) {
    TestClient client(port());
    client.Send(request);
    EXPECT_FALSE(client.ReadAnswer().empty());
    return client.ReadToEnd(200);
  };
  EXPECT_FALSE(closes(kGetEcho));
  EXPECT_TRUE(closes("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  EXPECT_TRUE(closes("GET /echo HTTP/1.0\r\n\r\n"));
  EXPECT_FALSE(closes("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

TEST_F(ServerTest, ContinueIsSentOnlyAfterTheHeadWasAccepted) {
  StartServer();
  TestClient client(port());
  client.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(client.ReadUntil("HTTP/1.1 100 Continue\r\n\r\n"));
  client.got.clear();
  client.Send("abc");
  EXPECT_TRUE(client.ReadAnswer().ends_with(" abc"));
  client.Send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_TRUE(client.got.starts_with("HTTP/1.1 401 ")) << client.got;
  TestClient large(port());
  large.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(large.ReadToEnd());
  EXPECT_TRUE(large.got.starts_with("HTTP/1.1 413 ")) << large.got;
  TestClient other(port());
  other.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 200-ok\r\n\r\n");
  EXPECT_TRUE(other.ReadToEnd());
  EXPECT_TRUE(other.got.starts_with("HTTP/1.1 417 ")) << other.got;
}

TEST_F(ServerTest, ContinueIsNotSentWhenTheBodyCameAlong) {
  StartServer();
  TestClient client(port());
  client.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 200 "));
}

TEST_F(ServerTest, ARefusalKeepsTheConnectionWhenNoBodyFollows) {
  StartServer();
  TestClient client(port());
  client.Send("GET /refuse HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 401 "));
  client.Send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 401 "));
  client.Send(kGetEcho);
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 200 "));
  client.Send("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_NE(client.got.find("Connection: close\r\n"), std::string::npos);
}

TEST_F(ServerTest, AnswerHeadersCannotBeSplit) {
  StartServer();
  TestClient client(port());
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Response response{.status = 200, .headers = {}, .body = "x"};
  response.headers.Add("X-Echo", "a\r\nSet-Cookie: evil\0z");
  response.headers.Add("Content-Length", "77");
  response.headers.Add("bad name", "v");
  exchange->Respond(std::move(response));
  const std::string answer = client.ReadAnswer();
  EXPECT_NE(answer.find("X-Echo: aSet-Cookie: evil\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Content-Length: 1\r\n"), std::string::npos);
  EXPECT_EQ(answer.find("bad name"), std::string::npos);
}

// ---- back-pressure and time

TEST_F(ServerTest, ASlowReaderIsToldAndDrains) {
  StartServer({.write_buffer_max = 64 << 10});
  TestClient client(port(), 16 << 10);
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Signal drained;
  exchange->OnDrained([&] { drained.Set(); });
  exchange->StartStream(200, {});
  size_t written = 0;
  for (bool full = false; !full;) {  // until the kernel's buffers are full and ours stays above
    exchange->Write(std::string(256 << 10, 'x'));
    written += 256 << 10;
    ASSERT_LT(written, 64u << 20);
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    full = exchange->buffered_bytes() > 64 << 10;
  }
  const int before = drained.count();
  EXPECT_FALSE(drained.Wait(before + 1, 100));
  ASSERT_TRUE(client.ReadBytes(written));
  EXPECT_TRUE(drained.Wait(before + 1));
  exchange->Finish();
  EXPECT_TRUE(client.ReadUntil("\r\n0\r\n\r\n"));
  EXPECT_EQ(drained.count(), before + 1);
  EXPECT_EQ(exchange->buffered_bytes(), 0u);
}

TEST_F(ServerTest, AReaderThatTakesNothingIsClosed) {
  StartServer({.write_timeout_ms = 200});
  TestClient client(port(), 4 << 10);
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Signal closed;
  exchange->OnClosed([&] { closed.Set(); });
  exchange->StartStream(200, {});
  for (int i = 0; i < 100; ++i) exchange->Write(std::string(100'000, 'x'));
  EXPECT_TRUE(closed.Wait(1, 3'000));
  EXPECT_EQ(server->Stats().timeouts, 1u);
}

TEST_F(ServerTest, AStreamThatIgnoresBackPressureIsCutAtTheHardLimit) {
  StartServer({.write_buffer_max = 1'000});
  TestClient client(port(), 4 << 10);
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  exchange->StartStream(200, {});
  size_t highest = 0;
  for (int i = 0; i < 20'000; ++i) {
    exchange->Write(std::string(1'000, 'x'));
    highest = std::max(highest, exchange->buffered_bytes());
  }
  EXPECT_LT(highest, 70'000u);
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.got.find("0\r\n\r\n"), std::string::npos);
}

TEST_F(ServerTest, SlowHeadersAreReapedHoweverTheyTrickle) {
  StartServer({.header_timeout_ms = 300});
  TestClient silent(port());
  TestClient trickle(port());
  const auto began = std::chrono::steady_clock::now();
  std::jthread sender([&] {
    for (const char c : std::string("GET /echo HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")) {
      if (!trickle.Send(std::string(1, c))) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  EXPECT_TRUE(silent.ReadToEnd(2'000));
  EXPECT_EQ(silent.got, "");
  EXPECT_TRUE(trickle.ReadUntil("HTTP/1.1 408 ", 2'000));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1'500));
  EXPECT_EQ(server->Stats().timeouts, 1u);
}

TEST_F(ServerTest, AKeptConnectionGetsAFreshHeadTime) {
  StartServer({.header_timeout_ms = 300, .keep_alive_timeout_ms = 5'000});
  TestClient client(port());
  client.Send(kGetEcho);
  EXPECT_FALSE(client.ReadAnswer().empty());
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // idle: the head's time stands still
  client.Send("GET /echo HT");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  client.Send("TP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_FALSE(client.ReadAnswer().empty());
}

TEST_F(ServerTest, IdleConnectionsAreClosedAfterTheKeepAliveTime) {
  StartServer({.keep_alive_timeout_ms = 200});
  TestClient client(port());
  client.Send(kGetEcho);
  EXPECT_FALSE(client.ReadAnswer().empty());
  EXPECT_TRUE(client.ReadToEnd(2'000));
  EXPECT_EQ(client.got, "");
}

TEST_F(ServerTest, SilentAndTricklingBodiesAreReaped) {
  StartServer({.body_idle_timeout_ms = 300});
  constexpr std::string_view kHead = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
  TestClient silent(port());
  silent.Send(kHead);
  TestClient trickle(port());
  trickle.Send(kHead);
  TestClient steady(port());  // 2,000 bytes in 300 ms are enough
  steady.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
  std::jthread sender([&] {
    for (int i = 0; i < 40; ++i) {
      trickle.Send("x");
      if (i < 20) steady.Send(std::string(1'000, 'x'));
      std::this_thread::sleep_for(std::chrono::milliseconds(40));
    }
  });
  EXPECT_TRUE(silent.ReadUntil("HTTP/1.1 408 ", 2'000));
  EXPECT_TRUE(trickle.ReadUntil("HTTP/1.1 408 ", 2'000));
  EXPECT_TRUE(steady.ReadAnswer().starts_with("HTTP/1.1 200 "));
}

// ---- limits of the whole server

TEST_F(ServerTest, OneConnectionTooManyIsAnswered503) {
  StartServer({.connections_max = 2});
  TestClient first(port());
  TestClient second(port());
  first.Send(kGetEcho);
  second.Send(kGetEcho);
  EXPECT_FALSE(first.ReadAnswer().empty());
  EXPECT_FALSE(second.ReadAnswer().empty());
  TestClient third(port());
  third.Send(kGetEcho);
  EXPECT_TRUE(third.ReadToEnd());
  EXPECT_TRUE(third.got.starts_with("HTTP/1.1 503 ")) << third.got;
  EXPECT_EQ(server->Stats().refused, 1u);
  first.Close();
  third.Close();
  for (int i = 0; i < 100 && server->Stats().connections > 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  TestClient fourth(port());
  fourth.Send(kGetEcho);
  EXPECT_TRUE(fourth.ReadAnswer().starts_with("HTTP/1.1 200 "));
}

TEST_F(ServerTest, BodiesOfAllRequestsTogetherAreBounded) {
  StartServer({.body_memory_max = 150'000});
  const std::string head = "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
  TestClient first(port());
  first.Send(head + std::string(100'000, 'x'));
  auto held = handler.TakeHeld();
  ASSERT_NE(held, nullptr);
  TestClient second(port());
  second.Send(head + std::string(90'000, 'x'));
  EXPECT_TRUE(second.ReadUntil("HTTP/1.1 503 "));
  held->Respond({});
  EXPECT_FALSE(first.ReadAnswer().empty());
  held.reset();  // gives its body back
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  TestClient third(port());
  third.Send(head + std::string(100'000, 'x'));
  EXPECT_NE(handler.TakeHeld(), nullptr);
}

TEST_F(ServerTest, DrainFinishesWhatRunsAndClosesWhatIdles) {
  StartServer();
  TestClient idle(port());
  idle.Send(kGetEcho);
  EXPECT_FALSE(idle.ReadAnswer().empty());
  TestClient busy(port());
  busy.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  server->StopAccepting();
  EXPECT_TRUE(idle.ReadToEnd());
  EXPECT_FALSE(TestClient(port()).connected());
  EXPECT_FALSE(server->WaitIdle(50));
  exchange->Respond({.status = 200, .headers = {}, .body = "late"});
  EXPECT_TRUE(busy.ReadToEnd());
  EXPECT_TRUE(busy.got.ends_with("late"));
  EXPECT_NE(busy.got.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(server->WaitIdle(5'000));
}

TEST_F(ServerTest, TheServerMayGoBeforeItsExchanges) {
  StartServer();
  TestClient client(port());
  client.Send(kGetHold);
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  Signal closed;
  exchange->OnClosed([&] { closed.Set(); });
  server.reset();
  EXPECT_EQ(closed.count(), 1);
  exchange->Respond({});
  EXPECT_TRUE(client.ReadToEnd());
}

TEST_F(ServerTest, ABusyPortIsAnErrorWithHostAndPort) {
  StartServer();
  const auto second = HttpServer::Start({.port = port()}, handler);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("127.0.0.1:" + std::to_string(port())), std::string::npos)
      << second.status().message();
  EXPECT_FALSE(HttpServer::Start({.host = "no such host", .port = 0}, handler).ok());
  EXPECT_FALSE(HttpServer::Start({.port = 70'000}, handler).ok());
}

TEST_F(ServerTest, PeerIsTheSocketsAndLoopbackIsKnown) {
  StartServer();
  TestClient client(port());
  client.Send("GET /hold HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n");
  auto exchange = handler.TakeHeld();
  ASSERT_NE(exchange, nullptr);
  EXPECT_TRUE(exchange->head().peer.starts_with("127.0.0.1:"));
  EXPECT_TRUE(exchange->head().peer_is_loopback);
  exchange->Respond({});
}

TEST_F(ServerTest, RandomDisconnectsLeaveNothingBehind) {
  StartServer({.io_threads = 2});
  std::atomic<int> closed{0};
  for (int i = 0; i < 300; ++i) {
    TestClient client(port());
    client.Send(i % 3 == 0 ? kGetHold.substr(0, i % kGetHold.size()) : kGetHold);
    if (i % 3 == 0) continue;
    auto exchange = handler.TakeHeld();
    ASSERT_NE(exchange, nullptr);
    exchange->OnClosed([&] { closed.fetch_add(1); });
    if (i % 2 == 0) exchange->StartStream(200, {});
    if (i % 4 == 0) exchange->Write("x");
    if (i % 5 == 0) client.Reset();
  }
  for (int i = 0; i < 300 && server->Stats().connections > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(server->Stats().connections, 0);
  EXPECT_TRUE(server->WaitIdle(1'000));
}

}  // namespace
}  // namespace pelton::net
