#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "net/server_fixture.h"

namespace pelton::net {
namespace {

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  StartServer();
  TestClient client(port());
  for (int i = 0; i < 3; ++i) {
    client.Send("POST /echo?x=" + std::to_string(i) +
                " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
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
  const std::string padded =
      "GET /echo HTTP/1.1\r\nHost: a\r\nX: " + std::string(8'000, 'x') + "\r\n\r\n";
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
  const auto closes = [&](std::string_view request, int wait_ms) {
    TestClient client(port());
    client.Send(request);
    EXPECT_FALSE(client.ReadAnswer().empty());
    return client.ReadToEnd(wait_ms);
  };
  EXPECT_FALSE(closes(kGetEcho, 200));
  EXPECT_TRUE(closes("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 5'000));
  EXPECT_TRUE(closes("GET /echo HTTP/1.0\r\n\r\n", 5'000));
  EXPECT_FALSE(closes("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200));
}

TEST_F(ServerTest, ContinueIsSentOnlyAfterTheHeadWasAccepted) {
  StartServer();
  TestClient client(port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(client.ReadUntil("HTTP/1.1 100 Continue\r\n\r\n"));
  client.got.clear();
  client.Send("abc");
  EXPECT_TRUE(client.ReadAnswer().ends_with(" abc"));
  client.Send(
      "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_TRUE(client.got.starts_with("HTTP/1.1 401 ")) << client.got;
  TestClient large(port());
  large.Send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n");
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
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
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

}  // namespace
}  // namespace pelton::net
