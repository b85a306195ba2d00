// For tests: a server on a free port, with a handler whose answers the test chooses by path.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "net/http.h"
#include "net/test_client.h"

namespace pelton::net {

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
    if (!came_.wait_for(lock, std::chrono::seconds(5), [&] { return !held_.empty(); }))
      return nullptr;
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

inline constexpr std::string_view kGetHold = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";
inline constexpr std::string_view kGetEcho = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

}  // namespace pelton::net
