// The listener and the io loops. One acceptor (so that a busy port is an error, which SO_REUSEPORT
// would hide) deals connections out to N loops in turn; each loop is one io_context and one thread.
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/connection.h"
#include "net/http.h"
#include "net/server_state.h"

namespace pelton::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

constexpr size_t kScratchBytes = 64 << 10;
constexpr int kTickMsMax = 250;          // deadlines are kept to this precision
constexpr int kTickMsMin = 10;
constexpr int kAcceptRetryMs = 50;       // after a failure such as too many open files
constexpr int kListenBacklog = 4'096;
constexpr int kIoThreadsMax = 64;
constexpr int64_t kRefusedAtOnceMax = 256;  // above connections_max so many get their 503 written

// One io thread's connections. All but the constructor, Run and Stop on its thread.
class Loop final : private ConnectionHost {
 public:
  Loop(std::shared_ptr<ServerState> state, Handler& handler)
      : handler_(handler), state_(std::move(state)), scratch_(kScratchBytes, '\0') {}

  asio::io_context& io() { return io_; }

  void Start(const std::string& name) {
    asio::post(io_, [this] { ScheduleTick(); });
    thread_ = StartThread(name, [this](const std::stop_token&) { Run(); });
  }

  void Add(Tcp::socket socket, bool refuse) {
    auto connection = std::make_shared<Connection>(static_cast<ConnectionHost&>(*this),
                                                   std::move(socket));
    connections_.emplace(connection.get(), connection);
    refuse ? connection->StartRefused() : connection->Start();
  }

  void CloseIdle() {
    for (const auto& connection : Snapshot()) connection->CloseIfIdle();
  }

  // From another thread; afterwards no connection is left and the thread is gone.
  void Stop() {
    asio::post(io_, [this] {
      stopping_ = true;
      for (const auto& connection : Snapshot()) connection->Close();
      timer_.cancel();
      work_.reset();
    });
    if (thread_.joinable()) thread_.join();
  }

 private:
  Handler& handler() override { return handler_; }
  const std::shared_ptr<ServerState>& state() override { return state_; }
  std::string& scratch() override { return scratch_; }
  void Remove(Connection* connection) override { connections_.erase(connection); }

  void Run() {
    while (true) {
      try {
        io_.run();
        return;
      } catch (const std::exception& problem) {  // a handler threw: its request pays, not the loop
        LogError("net", "an io thread's handler threw: {}", problem.what());
      }
    }
  }

  std::vector<std::shared_ptr<Connection>> Snapshot() const {
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(connections_.size());
    for (const auto& [_, connection] : connections_) all.push_back(connection);
    return all;
  }

  void ScheduleTick() {
    if (stopping_) return;
    timer_.expires_after(std::chrono::milliseconds(TickMs()));
    timer_.async_wait([this](const error_code& ec) {
      if (ec || stopping_) return;
      const int64_t now_ns = NowNs();
      for (const auto& connection : Snapshot()) connection->OnTick(now_ns);
      ScheduleTick();
    });
  }

  int TickMs() const {
    const ServerOptions& o = state_->options();
    const int shortest = std::min({o.header_timeout_ms, o.body_idle_timeout_ms,
                                   o.keep_alive_timeout_ms, o.write_timeout_ms});
    return std::clamp(shortest / 8, kTickMsMin, kTickMsMax);
  }

  Handler& handler_;
  const std::shared_ptr<ServerState> state_;
  std::string scratch_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::steady_timer timer_{io_};
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  bool stopping_ = false;
  std::jthread thread_;
};

class AsioServer final : public HttpServer {
 public:
  AsioServer(const ServerOptions& options, Handler& handler)
      : state_(std::make_shared<ServerState>(options)) {
    for (int i = 0; i < std::clamp(options.io_threads, 1, kIoThreadsMax); ++i) {
      loops_.push_back(std::make_unique<Loop>(state_, handler));
    }
    acceptor_.emplace(loops_[0]->io());
    retry_.emplace(loops_[0]->io());
  }

  ~AsioServer() override {
    StopAccepting();
    for (const auto& loop : loops_) loop->Stop();
  }

  Status Listen() {
    const ServerOptions& options = state_->options();
    const auto failed = [&](std::string_view what, const error_code& ec) {
      return Unavailable(fmt::format("cannot {} {}:{}: {}", what, options.host, options.port,
                                     ec.message()));
    };
    if (options.port < 0 || options.port > 65'535) {
      return InvalidArgument(fmt::format("port {} is not between 0 and 65535", options.port));
    }
    error_code ec;
    Tcp::resolver resolver(loops_[0]->io());
    const auto found =
        resolver.resolve(options.host, std::to_string(options.port),
                         Tcp::resolver::passive | Tcp::resolver::numeric_service, ec);
    if (ec || found.empty()) return failed("resolve", ec);
    const Tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_->open(endpoint.protocol(), ec);
    if (ec) return failed("open a socket for", ec);
    acceptor_->set_option(Tcp::acceptor::reuse_address(true), ec);
    acceptor_->bind(endpoint, ec);
    if (ec) return failed("bind", ec);
    acceptor_->listen(kListenBacklog, ec);
    if (ec) return failed("listen on", ec);
    port_ = acceptor_->local_endpoint(ec).port();
    return OkStatus();
  }

  void Run() {
    running_ = true;
    asio::post(loops_[0]->io(), [this] { Accept(); });
    for (size_t i = 0; i < loops_.size(); ++i) loops_[i]->Start(fmt::format("io-{}", i));
  }

  int port() const override { return port_; }

  ServerStats Stats() const override {
    return {.connections = state_->connections.load(),
            .accepted = state_->accepted.load(),
            .refused = state_->refused.load(),
            .requests = state_->requests.load(),
            .protocol_errors = state_->protocol_errors.load(),
            .timeouts = state_->timeouts.load()};
  }

  void StopAccepting() override {
    if (state_->draining.exchange(true)) return;
    // Done when this returns: nobody can connect any more, so a restart can take the port.
    std::promise<void> closed;
    asio::dispatch(loops_[0]->io(), [&] {  // at once when called on that very thread
      error_code ec;
      acceptor_->close(ec);
      retry_->cancel();
      closed.set_value();
    });
    if (running_) closed.get_future().wait();
    for (const auto& loop : loops_) {
      asio::post(loop->io(), [l = loop.get()] { l->CloseIdle(); });
    }
  }

  bool WaitIdle(int timeout_ms) override { return state_->WaitIdle(timeout_ms); }

 private:
  void Accept() {
    if (!acceptor_->is_open()) return;
    Loop& loop = *loops_[next_loop_++ % loops_.size()];
    acceptor_->async_accept(loop.io(), [this, &loop](const error_code& ec, Tcp::socket socket) {
      if (!acceptor_->is_open()) return;
      if (!ec) {
        Deal(loop, std::move(socket));
        Accept();
      } else if (ec == asio::error::connection_aborted) {
        Accept();
      } else {
        LogWarn("net", "accept: {}", ec.message());
        retry_->expires_after(std::chrono::milliseconds(kAcceptRetryMs));
        retry_->async_wait([this](const error_code& stopped) {
          if (!stopped) Accept();
        });
      }
    });
  }

  void Deal(Loop& loop, Tcp::socket socket) {
    state_->accepted.fetch_add(1, std::memory_order_relaxed);
    const int64_t open = state_->connections.load(std::memory_order_relaxed);
    const bool refuse = open >= state_->options().connections_max;
    if (refuse) {
      state_->refused.fetch_add(1, std::memory_order_relaxed);
      if (open >= state_->options().connections_max + kRefusedAtOnceMax) return;  // just closed
    }
    state_->connections.fetch_add(1, std::memory_order_relaxed);  // until it is destroyed
    auto held = std::make_shared<Tcp::socket>(std::move(socket));
    asio::post(loop.io(), [&loop, held, refuse] { loop.Add(std::move(*held), refuse); });
  }

  const std::shared_ptr<ServerState> state_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::optional<Tcp::acceptor> acceptor_;      // on the first loop
  std::optional<asio::steady_timer> retry_;    // on the first loop
  size_t next_loop_ = 0;                       // on the first loop
  int port_ = 0;
  bool running_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const ServerOptions& options,
                                                      Handler& handler) {
  auto server = std::make_unique<AsioServer>(options, handler);
  RETURN_IF_ERROR(server->Listen());
  server->Run();
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace pelton::net
