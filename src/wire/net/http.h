// HTTP/1.1 server as the service sees it. Boost stays inside this room's sources; HTTP/2 will stand
// behind the same face. Strict by design: what RFC 9112 lets a server refuse, it refuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace pelton::net {

// Names are compared without case; order and duplicates are kept.
class Headers {
 public:
  void Add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  // The first field of that name; nothing when there is none.
  std::optional<std::string_view> Find(std::string_view name) const;
  size_t Count(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct RequestHead {
  std::string method;   // "GET"; a token, at most 32 bytes
  std::string target;   // as sent
  // The one parsed path that authentication and routing both use: percent-decoded once, without
  // query; "//", "/./" and "/../" and NUL are refused with 400 before anybody sees them.
  std::string path;
  std::string query;    // after '?', raw
  Headers headers;
  std::string peer;     // "127.0.0.1:54321"
  bool peer_is_loopback = false;
  std::optional<uint64_t> content_length;
};

struct Response {
  int status = 200;
  Headers headers;      // Content-Length, Date and Connection are the server's business
  std::string body;
};

// One request and its answer. Thread-safe. All calls after the peer has gone are harmless.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const RequestHead& head() const = 0;
  virtual const std::string& body() const = 0;   // whole, already bounded

  // Exactly one of Respond or StartStream … Finish. An Exchange destroyed without either answers
  // 500.
  virtual void Respond(Response response) = 0;
  virtual void StartStream(int status, Headers headers) = 0;  // chunked; no body after HEAD
  virtual void Write(std::string data) = 0;
  virtual void Finish() = 0;
  // Ends the stream so that the peer can tell it is not whole (connection closed, no last chunk).
  virtual void Abort() = 0;

  // Bytes written and not yet taken by the kernel.
  virtual size_t buffered_bytes() const = 0;
  // Called once on an io thread when the peer vanishes before the answer is complete; at once when
  // it already has. Never called after the answer is complete.
  virtual void OnClosed(std::function<void()> callback) = 0;
  // Called on an io thread each time the buffer falls below half of ServerOptions::write_buffer_max
  // after having been above it.
  virtual void OnDrained(std::function<void()> callback) = 0;
};

// What to do with a request once its head is there and before any of its body is read.
struct HeadDecision {
  std::optional<Response> refuse;  // send this and do not read the body
  uint64_t body_bytes_max = 0;     // else: read at most this much, 413 beyond
};

class Handler {  // called on io threads, from several at once; must not block
 public:
  virtual ~Handler() = default;
  virtual HeadDecision OnHead(const RequestHead& head) = 0;
  virtual void OnRequest(std::shared_ptr<Exchange> exchange) = 0;
  // The body of an answer that the server itself makes (400 bad request line, 408, 413, 431 …).
  virtual Response OnProtocolError(int status, std::string_view reason) = 0;
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                        // 0: the kernel chooses, see HttpServer::port
  int io_threads = 1;
  size_t header_bytes_max = 16 << 10;     // all header fields together → 431
  int header_count_max = 100;             // → 431
  size_t target_bytes_max = 8 << 10;      // → 414
  int connections_max = 10'000;           // one more is answered 503 and closed
  int header_timeout_ms = 10'000;         // from the first byte (or accept) to the end of the head
  int body_idle_timeout_ms = 30'000;      // between two pieces of a body
  int keep_alive_timeout_ms = 75'000;     // between requests
  int write_timeout_ms = 30'000;          // a reader that takes nothing for so long is closed
  size_t write_buffer_max = 256 << 10;    // above it OnDrained will follow
  size_t body_memory_max = 512 << 20;     // bodies read or held, all requests together → 503
};

struct ServerStats {
  int64_t connections = 0;
  uint64_t accepted = 0, refused = 0, requests = 0, protocol_errors = 0, timeouts = 0;
};

class HttpServer {
 public:
  // Binds and listens before returning, so that a busy port or a missing right is known at once;
  // the message has host and port.
  static Result<std::unique_ptr<HttpServer>> Start(const ServerOptions& options, Handler& handler);
  virtual ~HttpServer() = default;  // closes everything, joins the io threads

  virtual int port() const = 0;
  virtual ServerStats Stats() const = 0;
  // Closes the listener and idle connections; answers under way go on and then close.
  virtual void StopAccepting() = 0;
  // True when no exchange is under way; waits at most `timeout_ms` for it.
  virtual bool WaitIdle(int timeout_ms) = 0;
};

}  // namespace pelton::net
