#include "net/answer.h"

#include <utility>

namespace pelton::net {
namespace {

// A stream whose handler ignores buffered_bytes() is ended when its buffer reaches this many times
// write_buffer_max: the memory of one reader is bounded whoever writes.
constexpr size_t kWriteBufferFactorMax = 64;

class HandlerExchange final : public Exchange {
 public:
  explicit HandlerExchange(std::shared_ptr<Answer> answer) : answer_(std::move(answer)) {}
  ~HandlerExchange() override { answer_->Abandon(); }

  const RequestHead& head() const override { return answer_->head(); }
  const std::string& body() const override { return answer_->body(); }
  void Respond(Response response) override { answer_->Respond(std::move(response)); }
  void StartStream(int status, Headers headers) override { answer_->StartStream(status, headers); }
  void Write(std::string data) override { answer_->Write(data); }
  void Finish() override { answer_->Finish(); }
  void Abort() override { answer_->Abort(); }
  size_t buffered_bytes() const override { return answer_->buffered_bytes(); }
  void OnClosed(std::function<void()> callback) override { answer_->OnClosed(std::move(callback)); }
  void OnDrained(std::function<void()> callback) override {
    answer_->OnDrained(std::move(callback));
  }

 private:
  const std::shared_ptr<Answer> answer_;
};

}  // namespace

std::shared_ptr<Exchange> MakeExchange(std::shared_ptr<Answer> answer) {
  return std::make_shared<HandlerExchange>(std::move(answer));
}

Answer::Answer(std::shared_ptr<ServerState> state, AnswerSink* sink, RequestHead head,
               std::string body, const ResponseShape& shape)
    : state_(std::move(state)), head_(std::move(head)), body_(std::move(body)), shape_(shape),
      sink_(sink) {
  body_allowed_ = !shape_.is_head;
}

Answer::~Answer() { state_->body_bytes.fetch_sub(body_.size(), std::memory_order_relaxed); }

void Answer::AppendLocked(std::string_view bytes) {
  pending_.append(bytes);
  const size_t now =
      buffered_bytes_.fetch_add(bytes.size(), std::memory_order_relaxed) + bytes.size();
  if (now > state_->options().write_buffer_max) was_above_.store(true, std::memory_order_relaxed);
}

void Answer::PostLocked() {
  if (sink_ == nullptr || flush_posted_) return;
  flush_posted_ = true;
  sink_->PostFlush();
}

void Answer::CompleteLocked(Outcome outcome) {
  stage_ = Stage::kDone;
  outcome_ = outcome;
  PostLocked();
}

void Answer::Respond(Response response) {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kUnanswered || sink_ == nullptr) return;
  if (state_->draining.load(std::memory_order_relaxed)) shape_.keep_alive = false;
  AppendLocked(WriteHead(response.status, response.headers, response.body.size(), shape_));
  if (body_allowed_ && StatusHasBody(response.status)) AppendLocked(response.body);
  CompleteLocked(Outcome::kComplete);
}

void Answer::StartStream(int status, const Headers& headers) {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kUnanswered || sink_ == nullptr) return;
  body_allowed_ = body_allowed_ && StatusHasBody(status);
  if (shape_.http_1_0 || state_->draining.load(std::memory_order_relaxed))
    shape_.keep_alive = false;
  AppendLocked(WriteHead(status, headers, std::nullopt, shape_));
  stage_ = Stage::kStreaming;
  PostLocked();
}

void Answer::Write(std::string_view data) {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kStreaming || sink_ == nullptr || data.empty() || !body_allowed_) return;
  if (buffered_bytes() > state_->options().write_buffer_max * kWriteBufferFactorMax) {
    shape_.keep_alive = false;
    CompleteLocked(Outcome::kAborted);
    return;
  }
  if (shape_.http_1_0) {
    AppendLocked(data);
  } else {
    std::string chunk;
    AppendChunk(data, &chunk);
    AppendLocked(chunk);
  }
  PostLocked();
}

void Answer::Finish() {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kStreaming || sink_ == nullptr) return;
  if (body_allowed_ && !shape_.http_1_0) AppendLocked(kLastChunk);
  CompleteLocked(Outcome::kComplete);
}

void Answer::Abort() {
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::kDone || sink_ == nullptr) return;
  shape_.keep_alive = false;
  CompleteLocked(Outcome::kAborted);
}

void Answer::Abandon() {
  bool unanswered = false;
  {
    const std::lock_guard lock(mutex_);
    unanswered = stage_ == Stage::kUnanswered;
  }
  if (unanswered) {
    Respond({.status = 500, .headers = {}, .body = "no answer was made\n"});
  } else {
    Abort();  // does nothing when the stream was finished
  }
}

void Answer::OnClosed(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!peer_gone_) {
      // Kept only while it can still be called: a callback may hold the exchange itself.
      if (stage_ != Stage::kDone && sink_ != nullptr) std::swap(on_closed_, callback);
      return;
    }
  }
  callback();
}

void Answer::OnDrained(std::function<void()> callback) {
  auto shared = std::make_shared<const std::function<void()>>(std::move(callback));
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kDone && sink_ != nullptr) std::swap(on_drained_, shared);
}

Answer::Pending Answer::TakePending() {
  std::function<void()> drop_closed;  // destroyed outside the lock: they may hold an exchange
  std::shared_ptr<const std::function<void()>> drop_drained;
  const std::lock_guard lock(mutex_);
  flush_posted_ = false;
  if (stage_ == Stage::kDone) {
    drop_closed = std::exchange(on_closed_, nullptr);
    drop_drained = std::exchange(on_drained_, nullptr);
  }
  return {
      .bytes = std::exchange(pending_, {}), .outcome = outcome_, .keep_alive = shape_.keep_alive};
}

void Answer::Sent(size_t bytes) {
  const size_t left = buffered_bytes_.fetch_sub(bytes, std::memory_order_relaxed) - bytes;
  if (left >= state_->options().write_buffer_max / 2) return;
  if (!was_above_.exchange(false, std::memory_order_relaxed)) return;
  std::shared_ptr<const std::function<void()>> callback;
  {
    const std::lock_guard lock(mutex_);
    callback = on_drained_;
  }
  if (callback != nullptr && *callback) (*callback)();
}

bool Answer::IsOpen() const {
  const std::lock_guard lock(mutex_);
  return stage_ != Stage::kDone;
}

void Answer::Detach(bool peer_gone) {
  std::function<void()> call;
  std::function<void()> drop_closed;
  std::shared_ptr<const std::function<void()>> drop_drained;
  {
    const std::lock_guard lock(mutex_);
    sink_ = nullptr;
    peer_gone_ = peer_gone && stage_ != Stage::kDone;
    (peer_gone_ ? call : drop_closed) = std::exchange(on_closed_, nullptr);
    drop_drained = std::exchange(on_drained_, nullptr);
    buffered_bytes_.store(0, std::memory_order_relaxed);
    pending_ = std::string();
  }
  if (call) call();
}

}  // namespace pelton::net
