// The connections, against a server of the test's own that does what it is told.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "load/runner.h"

namespace pelton::load {
namespace {

constexpr std::string_view kHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string Chunk(std::string_view data) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return std::string(size) + std::string(data) + "\r\n";
}
std::string Event(std::string_view data) { return Chunk("data: " + std::string(data) + "\n\n"); }
std::string Token() { return Event(R"({"choices":[{"text":"a"}]})"); }
std::string Usage(int tokens) {
  return Event(R"({"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":)" +
               std::to_string(tokens) + "}}");
}

// Answers each connection, one after the other, with what `answer` gives for its number, and
// closes.
class FakeServer {
 public:
  explicit FakeServer(std::function<std::string(int)> answer) : answer_(std::move(answer)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(fd_, 64);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeServer() {
    stop_ = true;
    thread_.join();
    ::close(fd_);
  }
  int port = 0;

 private:
  void Serve() {
    for (int number = 0; !stop_;) {
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, 20) <= 0) continue;
      const int peer = ::accept(fd_, nullptr, nullptr);
      std::string got;
      char buffer[4096];
      while (got.find("}}") == std::string::npos) {  // every body ends with stream_options
        const ssize_t n = ::recv(peer, buffer, sizeof buffer, 0);
        if (n <= 0) break;
        got.append(buffer, static_cast<size_t>(n));
      }
      const std::string answer = answer_(number++);
      ::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(peer);
    }
  }

  std::function<std::string(int)> answer_;
  int fd_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

Options OptionsFor(int port) {
  Options options;
  options.url = "http://127.0.0.1:" + std::to_string(port);
  options.prompt_tokens = 4;
  options.timeout_s = 20;
  return options;
}

Result<std::vector<Record>> RecordsOf(const Options& options) {
  const auto plan = Plan::Make(options);
  EXPECT_TRUE(plan.ok());
  return RunPlan(*plan, {});
}

TEST(Runner, CountsEventsAndBelievesTheServersUsage) {
  const FakeServer server([](int) {
    return std::string(kHead) + Event(R"({"choices":[{"text":""}]})") + Token() + Token() +
           Usage(6) + Event("[DONE]") + "0\r\n\r\n";
  });
  Options options = OptionsFor(server.port);
  options.streams = 3;
  options.requests = 2;
  options.warmup = 1;
  options.together = true;
  int told = 0;
  const auto records = RunPlan(*Plan::Make(options), [&](int done, int total) {
    EXPECT_EQ(total, 9);
    EXPECT_EQ(done, ++told);
  });
  ASSERT_TRUE(records.ok());
  EXPECT_EQ(told, 9);
  ASSERT_EQ(records->size(), 6u);
  for (const Record& record : *records) {
    EXPECT_TRUE(record.status.ok()) << record.status.message();
    EXPECT_EQ(record.text_ns.size(), 2u);
    EXPECT_EQ(record.tokens(), 6);
    EXPECT_EQ(record.prompt_tokens, 4);
    EXPECT_GE(record.round, 0);
  }
}

TEST(Runner, AStreamCutShortIsAFailureAndTheOthersGoOn) {
  const FakeServer server([](int number) {
    if (number == 0) return std::string(kHead) + Token();
    if (number == 1) return std::string();
    if (number == 2) return std::string(kHead) + Token() + "0\r\n\r\n";  // whole, but not [DONE]
    return std::string(kHead) + Token() + Event("[DONE]") + "0\r\n\r\n";
  });
  Options options = OptionsFor(server.port);
  options.requests = 4;
  const auto records = RecordsOf(options);
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 4u);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ((*records)[static_cast<size_t>(i)].status.ok(), i == 3) << i;
}

TEST(Runner, AnErrorsMessageIsKept) {
  const FakeServer server([](int number) -> std::string {
    if (number == 0) {
      return "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 32\r\n\r\n"
             R"({"error":{"message":"too many"}})";
    }
    return std::string(kHead) + Token() + Event(R"({"error":{"message":"out of blocks"}})") +
           "0\r\n\r\n";
  });
  Options options = OptionsFor(server.port);
  options.requests = 2;
  const auto records = RecordsOf(options);
  ASSERT_TRUE(records.ok());
  EXPECT_NE((*records)[0].status.message().find("429"), std::string::npos);
  EXPECT_EQ((*records)[1].status.message(), "out of blocks");
}

TEST(Runner, GivesUpWhenNothingAnswers) {
  int port = 0;
  {
    const FakeServer server([](int) { return std::string(); });
    port = server.port;
  }
  Options options = OptionsFor(port);
  options.requests = 1000;
  const auto records = RecordsOf(options);
  EXPECT_EQ(records.status().code(), StatusCode::kUnavailable);
}

TEST(Runner, TheTimeIsBounded) {
  const FakeServer server([](int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    return std::string();
  });
  Options options = OptionsFor(server.port);
  options.timeout_s = 1;
  EXPECT_EQ(RecordsOf(options).status().code(), StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace pelton::load
