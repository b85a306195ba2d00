#include "net/connection.h"

#include <boost/asio/post.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/clock.h"

namespace pelton::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;

constexpr size_t kPipelineBytesMax = 64 << 10;  // read ahead while an answer is being made
constexpr int kLingerMs = 2'000;                // after the last byte: let the peer read it
constexpr size_t kLingerBytesMax = 1 << 20;     // of the peer's that are thrown away meanwhile
constexpr size_t kOutputKeptBytesMax = 16 << 10;  // an idle connection keeps no larger buffer
constexpr uint64_t kBodyBytesPerSecondMin = 1'024;  // below, over one body timeout: 408
constexpr int kProbeAfterS = 60;                // of silence; then kProbes, and the peer is gone
constexpr int kProbeEveryS = 15;
constexpr int kProbes = 4;

constexpr int64_t kNsPerMs = 1'000'000;

ReaderLimits LimitsOf(const ServerOptions& options) {
  return {.target_bytes_max = options.target_bytes_max,
          .header_bytes_max = options.header_bytes_max,
          .header_count_max = options.header_count_max};
}

std::string PeerText(const Tcp::endpoint& peer) {
  const asio::ip::address address = peer.address();
  const std::string text = address.to_string();
  const std::string port = std::to_string(peer.port());
  return address.is_v6() ? "[" + text + "]:" + port : text + ":" + port;
}

bool IsLoopback(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}

// A peer whose machine or network died sends no end of file: while an answer is being made and
// nothing is written, only the kernel's probes tell.
void WatchForDeadPeer(int fd) {
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kProbeAfterS, sizeof kProbeAfterS);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kProbeEveryS, sizeof kProbeEveryS);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
}

}  // namespace

Connection::Connection(ConnectionHost& host, Tcp::socket socket)
    : host_(host), state_(host.state()), socket_(std::move(socket)),
      reader_(LimitsOf(host.state()->options())) {}

Connection::~Connection() {
  Close();
  state_->connections.fetch_sub(1, std::memory_order_relaxed);
}

void Connection::Start() {
  error_code ec;
  const Tcp::endpoint peer = socket_.remote_endpoint(ec);
  if (ec) {
    Close();
    return;
  }
  peer_ = PeerText(peer);
  peer_is_loopback_ = IsLoopback(peer.address());
  socket_.set_option(Tcp::no_delay(true), ec);
  WatchForDeadPeer(socket_.native_handle());
  // Unlike a kept-alive connection a new one owes its first request at once.
  Enter(Phase::kIdle, state_->options().header_timeout_ms);
  WatchReads();
}

void Connection::StartRefused() {
  Enter(Phase::kClosing, state_->options().write_timeout_ms);
  SendAndClose(host_.handler().OnProtocolError(503, "too many connections"));
}

void Connection::Enter(Phase phase, int deadline_ms) {
  phase_ = phase;
  deadline_ns_ = deadline_ms > 0 ? NowNs() + deadline_ms * kNsPerMs : 0;
}

void Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  error_code ec;
  socket_.close(ec);
  AccountBody();
  if (auto answer = std::exchange(answer_, nullptr)) {
    answer->Detach(/*peer_gone=*/true);
    state_->ExchangeEnded();
  }
  host_.Remove(this);
}

void Connection::CloseIfIdle() {
  if (phase_ == Phase::kIdle) Close();
}

// ---- time

void Connection::OnTick(int64_t now_ns) {
  if (write_deadline_ns_ != 0 && now_ns >= write_deadline_ns_) {
    state_->timeouts.fetch_add(1, std::memory_order_relaxed);
    Close();
    return;
  }
  if (phase_ == Phase::kBody) CheckBodyPace(now_ns);
  if (deadline_ns_ == 0 || now_ns < deadline_ns_) return;
  if (phase_ == Phase::kHead || phase_ == Phase::kBody) {
    state_->timeouts.fetch_add(1, std::memory_order_relaxed);
  }
  if (phase_ == Phase::kHead) {
    RefuseRequest({408, "the request's head took too long"});
  } else if (phase_ == Phase::kBody) {
    RefuseRequest({408, "the request's body took too long"});
  } else {
    Close();
  }
}

// A body that trickles is as good as none: each timeout's worth of time must bring at least
// kBodyBytesPerSecondMin of it.
void Connection::CheckBodyPace(int64_t now_ns) {
  const int64_t window_ns = state_->options().body_idle_timeout_ms * kNsPerMs;
  if (now_ns - window_began_ns_ < window_ns) return;
  const uint64_t got = reader_.body_bytes_read() - window_body_bytes_;
  const auto window_ms = static_cast<uint64_t>(state_->options().body_idle_timeout_ms);
  const uint64_t least = window_ms * kBodyBytesPerSecondMin / 1'000;
  if (got < least) deadline_ns_ = now_ns;
  window_began_ns_ = now_ns;
  window_body_bytes_ = reader_.body_bytes_read();
}

// ---- reading

void Connection::WatchReads() {
  if (reads_watched_ || phase_ == Phase::kClosed || end_of_file_) return;
  reads_watched_ = true;
  // With a full read-ahead only errors matter: bytes already here would wake us for ever.
  const auto what = input_.size() < kPipelineBytesMax ? Tcp::socket::wait_read
                                                      : Tcp::socket::wait_error;
  socket_.async_wait(what, [self = shared_from_this()](const error_code& ec) {
    self->reads_watched_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (ec) {
      self->WatchReads();  // cancelled to watch for something else
    } else {
      self->OnReadable();
    }
  });
}

void Connection::OnReadable() {
  std::string& scratch = host_.scratch();
  const size_t room = phase_ == Phase::kAnswer ? kPipelineBytesMax - input_.size() : scratch.size();
  if (room == 0) {  // an error woke us, and what it is only a read would tell
    if (phase_ == Phase::kAnswer) Close();
    return;
  }
  const ssize_t count = ::recv(socket_.native_handle(), scratch.data(),
                               std::min(room, scratch.size()), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    WatchReads();
  } else if (count < 0) {
    Close();
  } else if (count == 0) {
    OnEndOfFile();
  } else {
    Consume(std::string_view(scratch.data(), static_cast<size_t>(count)));
    WatchReads();
  }
}

void Connection::OnEndOfFile() {
  end_of_file_ = true;
  switch (phase_) {
    case Phase::kHead:
    case Phase::kBody: RefuseRequest({400, "the request ends before it is whole"}); return;
    case Phase::kAnswer:
      if (answer_ != nullptr && answer_->IsOpen()) Close();
      return;  // otherwise the answer is finished: send the rest of it
    case Phase::kClosing: return;
    case Phase::kIdle:
    case Phase::kLinger:
    case Phase::kClosed: Close(); return;
  }
}

void Connection::Consume(std::string_view bytes) {
  switch (phase_) {
    case Phase::kIdle:
    case Phase::kHead:
    case Phase::kBody: ReadRequests(bytes); return;
    case Phase::kAnswer: input_.append(bytes); return;
    case Phase::kClosing:
    case Phase::kLinger:
      linger_bytes_ += bytes.size();
      if (linger_bytes_ > kLingerBytesMax) Close();
      return;
    case Phase::kClosed: return;
  }
}

void Connection::ReadRequests(std::string_view bytes) {
  if (phase_ == Phase::kIdle && !bytes.empty()) {
    // The head's time starts with its first byte; a new connection's started with accept.
    const int64_t since_accept_ns = deadline_ns_;
    Enter(Phase::kHead, state_->options().header_timeout_ms);
    if (std::exchange(first_request_, false)) deadline_ns_ = since_accept_ns;
  }
  while (phase_ == Phase::kHead || phase_ == Phase::kBody) {
    switch (reader_.Next(&bytes)) {
      case RequestReader::Event::kNeedMore:
        if (phase_ == Phase::kBody) OnBodyPiece();
        return;
      case RequestReader::Event::kHead: DecideOnHead(); break;
      case RequestReader::Event::kRequest: Dispatch(); break;
      case RequestReader::Event::kRefused: RefuseRequest(reader_.refusal()); return;
    }
  }
  if (phase_ == Phase::kAnswer) input_.assign(bytes);
}

void Connection::DecideOnHead() {
  state_->requests.fetch_add(1, std::memory_order_relaxed);
  RequestHead& head = reader_.head();
  head.peer = peer_;
  head.peer_is_loopback = peer_is_loopback_;
  HeadDecision decision = host_.handler().OnHead(head);
  if (!decision.refuse) {
    reader_.StartBody(decision.body_bytes_max);
    Enter(Phase::kBody, state_->options().body_idle_timeout_ms);
    continue_owed_ = reader_.facts().expects_continue;
    window_began_ns_ = NowNs();
    window_body_bytes_ = 0;
    return;
  }
  if (reader_.facts().framing != BodyFraming::kNone) {
    SendAndClose(*decision.refuse);  // its body stays unread
    return;
  }
  Attach();
  answer_->Respond(std::move(*decision.refuse));
}

void Connection::OnBodyPiece() {
  if (std::exchange(continue_owed_, false) && reader_.body_bytes_read() == 0) SendContinue();
  AccountBody();
  if (state_->body_bytes.load(std::memory_order_relaxed) > state_->options().body_memory_max) {
    RefuseRequest({503, "the bodies of all requests together are too large now"});
  } else if (phase_ == Phase::kBody) {
    Enter(Phase::kBody, state_->options().body_idle_timeout_ms);
  }
}

// Best effort: a client whose window is full sends the body after a while without it.
void Connection::SendContinue() {
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  const ssize_t count = ::send(socket_.native_handle(), kContinue.data(), kContinue.size(),
                               MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count > 0 && static_cast<size_t>(count) < kContinue.size()) Close();
}

// Keeps ServerState::body_bytes in step with the body being read.
void Connection::AccountBody() {
  const uint64_t now = phase_ == Phase::kBody ? reader_.body_bytes_read() : 0;
  state_->body_bytes.fetch_add(now - body_accounted_, std::memory_order_relaxed);
  body_accounted_ = now;
}

void Connection::Attach() {
  const ResponseShape shape{.http_1_0 = reader_.facts().http_1_0,
                            .keep_alive = reader_.facts().keep_alive,
                            .is_head = reader_.head().method == "HEAD"};
  AccountBody();
  body_accounted_ = 0;  // from here on the answer's
  answer_ = std::make_shared<Answer>(state_, static_cast<AnswerSink*>(this),
                                     std::move(reader_.head()), std::move(reader_.body()), shape);
  reader_.Reset();
  Enter(Phase::kAnswer, 0);
  state_->ExchangeBegan();
}

void Connection::Dispatch() {
  Attach();
  host_.handler().OnRequest(MakeExchange(answer_));
}

// ---- answering

void Connection::RefuseRequest(const Refusal& refusal) {
  state_->protocol_errors.fetch_add(1, std::memory_order_relaxed);
  SendAndClose(host_.handler().OnProtocolError(refusal.status, refusal.reason));
}

void Connection::SendAndClose(const Response& response) {
  const bool is_head = reader_.head().method == "HEAD";
  Enter(Phase::kClosing, state_->options().write_timeout_ms);
  AccountBody();
  reader_.Reset();
  input_ = std::string();
  output_ = WriteHead(response.status, response.headers, response.body.size(),
                      {.http_1_0 = false, .keep_alive = false, .is_head = is_head});
  if (!is_head && StatusHasBody(response.status)) output_.append(response.body);
  output_sent_ = 0;
  Flush();
}

void Connection::PostFlush() {
  if (auto self = weak_from_this().lock()) {
    asio::post(socket_.get_executor(), [self = std::move(self)] { self->Flush(); });
  }
}

void Connection::WatchWrites() {
  if (writes_watched_) return;
  writes_watched_ = true;
  socket_.async_wait(Tcp::socket::wait_write, [self = shared_from_this()](const error_code& ec) {
    self->writes_watched_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (ec) {  // the read side's watch was being changed, which cancels this one too
      self->WatchWrites();
    } else {
      self->Flush();
    }
  });
}

void Connection::Flush() {
  while (phase_ != Phase::kClosed) {
    if (output_sent_ < output_.size()) {
      if (!SendSome()) return;
      continue;
    }
    output_.clear();
    output_sent_ = 0;
    if (output_.capacity() > kOutputKeptBytesMax) output_ = std::string();
    if (answer_ == nullptr) {
      if (phase_ == Phase::kClosing) StartLinger();
      return;
    }
    Answer::Pending pending = answer_->TakePending();
    if (pending.bytes.empty()) {
      if (pending.outcome != Answer::Outcome::kOpen) FinishAnswer(pending);
      return;
    }
    output_ = std::move(pending.bytes);
  }
}

bool Connection::SendSome() {
  const ssize_t count = ::send(socket_.native_handle(), output_.data() + output_sent_,
                               output_.size() - output_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && errno == EINTR) return true;
  if (count < 0 && errno == EAGAIN) {
    if (write_deadline_ns_ == 0) {
      write_deadline_ns_ = NowNs() + state_->options().write_timeout_ms * kNsPerMs;
    }
    WatchWrites();
    return false;
  }
  if (count < 0) {
    Close();
    return false;
  }
  write_deadline_ns_ = 0;
  output_sent_ += static_cast<size_t>(count);
  if (answer_ != nullptr) answer_->Sent(static_cast<size_t>(count));
  return true;
}

void Connection::FinishAnswer(const Answer::Pending& last) {
  const auto answer = std::exchange(answer_, nullptr);
  answer->Detach(/*peer_gone=*/false);
  state_->ExchangeEnded();
  if (last.outcome == Answer::Outcome::kAborted) {
    // Without chunks only a reset tells the peer that something is missing.
    error_code ec;
    if (answer->http_1_0()) socket_.set_option(asio::socket_base::linger(true, 0), ec);
    Close();
    return;
  }
  if (!last.keep_alive || end_of_file_ || state_->draining.load(std::memory_order_relaxed)) {
    StartLinger();
    return;
  }
  Enter(Phase::kIdle, state_->options().keep_alive_timeout_ms);
  const std::string next = std::exchange(input_, {});
  if (next.size() >= kPipelineBytesMax) {  // only errors were watched; now reads are wanted again
    error_code ec;
    socket_.cancel(ec);
  }
  if (!next.empty()) ReadRequests(next);
  WatchReads();
}

void Connection::StartLinger() {
  error_code ec;
  socket_.shutdown(Tcp::socket::shutdown_send, ec);
  Enter(Phase::kLinger, kLingerMs);
  input_ = std::string();
  if (end_of_file_) {
    Close();
    return;
  }
  WatchReads();
}

}  // namespace pelton::net
