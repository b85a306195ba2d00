// One exchange's state, between the handler's threads and the connection's io thread.
//
// The handler holds it through an Exchange and may outlive the connection; the connection holds it
// until the answer is written or the peer is gone, and then detaches. Bytes go handler → `pending_`
// → connection; a flush is posted once for many writes, so a step of the engine that writes to a
// hundred streams wakes each io thread about once. Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "net/http.h"
#include "net/response_writer.h"
#include "net/server_state.h"

namespace pelton::net {

// What an Answer needs of its connection. PostFlush may be called from any thread while attached.
class AnswerSink {
 public:
  virtual void PostFlush() = 0;

 protected:
  ~AnswerSink() = default;
};

class Answer {
 public:
  Answer(std::shared_ptr<ServerState> state, AnswerSink* sink, RequestHead head, std::string body,
         const ResponseShape& shape);
  ~Answer();

  const RequestHead& head() const { return head_; }
  const std::string& body() const { return body_; }

  // The handler's side, any thread; see Exchange.
  void Respond(Response response);
  void StartStream(int status, const Headers& headers);
  void Write(std::string_view data);
  void Finish();
  void Abort();
  void Abandon();  // the handler let go of it
  size_t buffered_bytes() const { return buffered_bytes_.load(std::memory_order_relaxed); }
  void OnClosed(std::function<void()> callback);
  void OnDrained(std::function<void()> callback);

  // The connection's side, its io thread.
  enum class Outcome : uint8_t { kOpen, kComplete, kAborted };
  struct Pending {
    std::string bytes;
    Outcome outcome = Outcome::kOpen;
    bool keep_alive = false;
  };
  Pending TakePending();                // what to send next
  void Sent(size_t bytes);              // the kernel took them
  bool IsOpen() const;                  // the handler is not done with it
  void Detach(bool peer_gone);          // no more PostFlush; OnClosed when it was open
  bool http_1_0() const { return shape_.http_1_0; }

 private:
  enum class Stage : uint8_t { kUnanswered, kStreaming, kDone };

  void AppendLocked(std::string_view bytes);
  void CompleteLocked(Outcome outcome);
  void PostLocked();

  const std::shared_ptr<ServerState> state_;
  const RequestHead head_;
  const std::string body_;
  ResponseShape shape_;                       // keep_alive: guarded by mutex_
  std::atomic<size_t> buffered_bytes_{0};
  std::atomic<bool> was_above_{false};        // the buffer went above its limit since OnDrained

  mutable std::mutex mutex_;
  AnswerSink* sink_;                          // guarded by mutex_, as all below; null: detached
  Stage stage_ = Stage::kUnanswered;
  Outcome outcome_ = Outcome::kOpen;
  bool peer_gone_ = false;
  bool body_allowed_ = true;                  // not after HEAD, 204, 304
  bool flush_posted_ = false;
  std::string pending_;
  std::function<void()> on_closed_;
  std::shared_ptr<const std::function<void()>> on_drained_;
};

// The handler's handle: when the last one goes without an answer, 500 goes out.
std::shared_ptr<Exchange> MakeExchange(std::shared_ptr<Answer> answer);

}  // namespace pelton::net
