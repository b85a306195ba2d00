#include "load/runner.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <numeric>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "codec/sse.h"
#include "load/delta.h"
#include "load/response_reader.h"

namespace pelton::load {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kErrorBytesMax = 16 << 10;  // kept of a body that is no stream
constexpr int kEventsMax = 256;
constexpr int kFailuresMax = 64;  // in a row, before the run gives up

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

std::string ErrnoText(std::string_view what, int error) {
  return fmt::format("{}: {}", what, std::strerror(error));
}

// One request and its answer.
class Exchange {
 public:
  Exchange(const Plan& plan, int epoll, int stream, int round, uint64_t index)
      : stream_(stream),
        out_(plan.Request(index)),
        socket_(::socket(plan.target().address.ss_family,
                         SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    record_.stream = stream;
    record_.round = round;
    record_.text_ns.reserve(static_cast<size_t>(plan.options().output_tokens));
    record_.sent_ns = NowNs();
    Open(plan.target(), epoll);
  }

  bool ended() const { return ended_; }
  int stream() const { return stream_; }
  Record& record() { return record_; }

  void OnReady(uint32_t events, int epoll) {
    if (!ended_ && sent_ < out_.size()) Send(epoll);
    if (!ended_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) Receive();
  }
  void Open(const Target& target, int epoll);
  void End(Status status);

 private:
  void Send(int epoll);
  void Receive();
  void Take(std::string_view bytes);
  Status OnEvent(const codec::SseEvent& event);

  const int stream_;
  const std::string out_;
  size_t sent_ = 0;
  Descriptor socket_;
  ResponseReader reader_;
  codec::SseParser events_;
  std::string body_;
  Record record_;
  bool saw_done_ = false;
  bool ended_ = false;
};

void Exchange::Open(const Target& target, int epoll) {
  if (socket_.get() < 0) return End(Unavailable(ErrnoText("socket", errno)));
  const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
  if (::connect(socket_.get(), address, target.address_bytes) != 0 && errno != EINPROGRESS) {
    return End(Unavailable(ErrnoText("connect", errno)));
  }
  epoll_event interest{};
  interest.events = EPOLLIN | EPOLLOUT;
  interest.data.u32 = static_cast<uint32_t>(stream_);
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, socket_.get(), &interest) != 0) {
    End(Internal(ErrnoText("epoll_ctl", errno)));
  }
}

void Exchange::End(Status status) {
  if (ended_) return;
  ended_ = true;
  record_.end_ns = NowNs();
  record_.status = std::move(status);
}

void Exchange::Send(int epoll) {
  while (sent_ < out_.size()) {
    const ssize_t n = ::send(socket_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    // A server may refuse before it has read everything; what it said is still there to be read.
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) break;
    if (n < 0) return End(Unavailable(ErrnoText("send", errno)));
    sent_ += static_cast<size_t>(n);
  }
  sent_ = out_.size();
  epoll_event interest{};
  interest.events = EPOLLIN;
  interest.data.u32 = static_cast<uint32_t>(stream_);
  ::epoll_ctl(epoll, EPOLL_CTL_MOD, socket_.get(), &interest);
}

void Exchange::Receive() {
  char buffer[kReadBytes];
  while (!ended_) {
    const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) return End(Unavailable(ErrnoText("recv", errno)));
    if (n > 0) {
      Take(std::string_view(buffer, static_cast<size_t>(n)));
      continue;
    }
    Status status = reader_.End();
    if (status.ok() && reader_.status() != 200) {
      status = Unavailable(fmt::format("HTTP {}: {}", reader_.status(), ErrorText(body_)));
    } else if (status.ok() && !saw_done_) {
      status = Unavailable("the stream ended without [DONE]");
    }
    End(std::move(status));
  }
}

void Exchange::Take(std::string_view bytes) {
  if (Status status = reader_.Push(bytes, &body_); !status.ok()) return End(std::move(status));
  if (!reader_.head_done()) return;
  if (reader_.status() != 200) {
    if (body_.size() > kErrorBytesMax) body_.resize(kErrorBytesMax);
    if (reader_.done()) {
      End(Unavailable(fmt::format("HTTP {}: {}", reader_.status(), ErrorText(body_))));
    }
    return;
  }
  Status of_event;
  const Status status = events_.Push(body_, [&](const codec::SseEvent& event) {
    if (of_event.ok()) of_event = OnEvent(event);
  });
  body_.clear();
  if (!status.ok() || !of_event.ok()) return End(status.ok() ? of_event : status);
  if (saw_done_) return End(OkStatus());
  if (reader_.done()) End(Unavailable("the stream ended without [DONE]"));
}

Status Exchange::OnEvent(const codec::SseEvent& event) {
  const auto delta = ReadDelta(event.data);
  if (!delta.ok()) return delta.status();
  if (delta->done) saw_done_ = true;
  if (delta->text) record_.text_ns.push_back(NowNs());
  if (delta->prompt_tokens) record_.prompt_tokens = *delta->prompt_tokens;
  if (delta->completion_tokens) record_.completion_tokens = *delta->completion_tokens;
  return OkStatus();
}

class Runner {
 public:
  Runner(const Plan& plan, const std::function<void(int done, int total)>& progress)
      : plan_(plan), progress_(progress), epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        rounds_(plan.options().warmup + plan.options().requests),
        exchanges_(static_cast<size_t>(plan.options().streams)),
        next_round_(static_cast<size_t>(plan.options().streams)) {}

  Result<std::vector<Record>> Run();

 private:
  int streams() const { return plan_.options().streams; }
  int total() const { return streams() * rounds_; }
  void Start(int stream);
  int CollectEnded();  // gives how many have ended in all
  void Collect(int stream);
  bool Go();  // starts whatever may start; true when one of them has ended at once

  const Plan& plan_;
  const std::function<void(int done, int total)>& progress_;
  const Descriptor epoll_;
  const int rounds_;  // of a stream
  std::vector<std::unique_ptr<Exchange>> exchanges_;  // by stream
  std::vector<int> next_round_;                       // by stream
  std::vector<Record> records_;
  int done_ = 0;
  int failures_ = 0;  // in a row
};

void Runner::Start(int stream) {
  const auto at = static_cast<size_t>(stream);
  const int round = next_round_[at]++;
  const auto index = static_cast<uint64_t>(round) * static_cast<uint64_t>(streams()) +
                     static_cast<uint64_t>(stream);
  exchanges_[at] = std::make_unique<Exchange>(plan_, epoll_.get(), stream,
                                              round - plan_.options().warmup, index);
}

bool Runner::Go() {
  const int started = std::accumulate(next_round_.begin(), next_round_.end(), 0);
  if (plan_.options().together && started != done_) return false;
  bool ended = false;
  for (int stream = 0; stream < streams(); ++stream) {
    const auto at = static_cast<size_t>(stream);
    if (exchanges_[at] != nullptr || next_round_[at] == rounds_) continue;
    Start(stream);
    ended = ended || exchanges_[at]->ended();
  }
  return ended;
}

int Runner::CollectEnded() {
  for (int stream = 0; stream < streams(); ++stream) {
    const auto& exchange = exchanges_[static_cast<size_t>(stream)];
    if (exchange != nullptr && exchange->ended()) Collect(stream);
  }
  return done_;
}

void Runner::Collect(int stream) {
  auto& exchange = exchanges_[static_cast<size_t>(stream)];
  Record& record = exchange->record();
  failures_ = record.status.ok() ? 0 : failures_ + 1;
  if (record.round >= 0) records_.push_back(std::move(record));
  exchange.reset();  // closes, and so leaves the epoll
  ++done_;
  if (progress_) progress_(done_, total());
}

Result<std::vector<Record>> Runner::Run() {
  if (epoll_.get() < 0) return Internal(ErrnoText("epoll_create1", errno));
  const int64_t deadline_ns = NowNs() + int64_t{1'000'000'000} * plan_.options().timeout_s;
  while (CollectEnded() < total()) {
    if (failures_ >= kFailuresMax) {
      return Unavailable(fmt::format("{} requests in a row failed, the last: {}", failures_,
                                     records_.empty() ? "" : records_.back().status.message()));
    }
    if (Go()) continue;  // one could not even be sent
    const int64_t left_ns = deadline_ns - NowNs();
    if (left_ns <= 0) {
      return DeadlineExceeded(fmt::format("{} of {} requests had ended after --timeout-s {}", done_,
                                          total(), plan_.options().timeout_s));
    }
    epoll_event ready[kEventsMax];
    const int wait_ms = static_cast<int>(std::min<int64_t>(left_ns / 1'000'000 + 1, 1000));
    const int count = ::epoll_wait(epoll_.get(), ready, kEventsMax, wait_ms);
    for (int i = 0; i < count; ++i) {
      const auto& exchange = exchanges_[ready[i].data.u32];
      if (exchange != nullptr) exchange->OnReady(ready[i].events, epoll_.get());
    }
  }
  return std::move(records_);
}

}  // namespace

Result<std::vector<Record>> RunPlan(const Plan& plan,
                                    const std::function<void(int done, int total)>& progress) {
  return Runner(plan, progress).Run();
}

}  // namespace pelton::load
