// For tests: a raw socket to 127.0.0.1 that sends exactly what it is told.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>

namespace pelton::net {

class TestClient {
 public:
  explicit TestClient(int port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~TestClient() { Close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }

  // False when the server closed meanwhile.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  void ShutdownWrites() { ::shutdown(fd_, SHUT_WR); }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void Reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    Close();
  }

  // Reads until `until` is in what was read, the server closes, or the time is over. What was read
  // stays in `got`.
  bool ReadUntil(std::string_view until, int timeout_ms = 5'000) {
    return Read([&] { return got.find(until) != std::string::npos; }, timeout_ms);
  }
  bool ReadBytes(size_t count, int timeout_ms = 5'000) {
    return Read([&] { return got.size() >= count; }, timeout_ms);
  }
  // True when the server closes in time.
  bool ReadToEnd(int timeout_ms = 5'000) {
    Read([] { return false; }, timeout_ms);
    return ended;
  }
  // One answer with Content-Length, taken off the front of `got`; empty when none came.
  std::string ReadAnswer(int timeout_ms = 5'000, bool is_head = false) {
    size_t whole = std::string::npos;
    Read([&] {
      const size_t end = got.find("\r\n\r\n");
      if (end == std::string::npos) return false;
      const size_t at = got.find("Content-Length: ");
      const size_t body =
          is_head || at > end ? 0 : std::strtoull(got.c_str() + at + 16, nullptr, 10);
      whole = end + 4 + body;
      return got.size() >= whole;
    }, timeout_ms);
    if (whole == std::string::npos || got.size() < whole) return {};
    std::string answer = got.substr(0, whole);
    got.erase(0, whole);
    return answer;
  }

  std::string got;
  bool ended = false;  // by FIN or reset

 private:
  template <typename Done>
  bool Read(const Done& done, int timeout_ms) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (!done()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      if (ended || left.count() <= 0) return false;
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, static_cast<int>(left.count())) <= 0) return false;
      char buffer[16 << 10];
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) {
        ended = true;
      } else {
        got.append(buffer, static_cast<size_t>(n));
      }
    }
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
};

}  // namespace pelton::net
