// Back-pressure, time, and the limits of the whole server.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "net/server_fixture.h"

namespace pelton::net {
namespace {

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
    for (const char c : std::string("GET /echo HTTP/1.1\r\nHost: ") + std::string(300, 'a')) {
      if (!trickle.Send(std::string(1, c))) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  EXPECT_TRUE(silent.ReadToEnd());
  EXPECT_EQ(silent.got, "");
  EXPECT_TRUE(trickle.ReadUntil("HTTP/1.1 408 "));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(4'000));
  EXPECT_EQ(server->Stats().timeouts, 1u);
}

TEST_F(ServerTest, AKeptConnectionGetsAFreshHeadTime) {
  StartServer({.header_timeout_ms = 1'000, .keep_alive_timeout_ms = 20'000});
  TestClient client(port());
  client.Send(kGetEcho);
  EXPECT_FALSE(client.ReadAnswer().empty());
  std::this_thread::sleep_for(
      std::chrono::milliseconds(1'200));  // idle: the head's time stands still
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
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.got, "");
}

TEST_F(ServerTest, SilentAndTricklingBodiesAreReaped) {
  StartServer({.body_idle_timeout_ms = 1'000});
  constexpr std::string_view kHead =
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
  TestClient silent(port());
  silent.Send(kHead);
  TestClient trickle(port());
  trickle.Send(kHead);
  TestClient steady(port());  // 25,000 bytes a second are enough
  steady.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
  std::jthread sender([&] {
    for (int i = 0; i < 80; ++i) {
      trickle.Send("x");
      if (i < 20) steady.Send(std::string(1'000, 'x'));
      std::this_thread::sleep_for(std::chrono::milliseconds(40));
    }
  });
  EXPECT_TRUE(silent.ReadUntil("HTTP/1.1 408 "));
  EXPECT_TRUE(trickle.ReadUntil("HTTP/1.1 408 "));
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
  for (int i = 0; i < 500 && server->Stats().connections > 1; ++i) {
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
  EXPECT_NE(second.status().message().find("127.0.0.1:" + std::to_string(port())),
            std::string::npos)
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
