// One TCP connection: reads requests, hands them to the handler, writes answers, keeps time. A
// state machine on its loop's thread; everything here is owned by that thread.
//
//   kIdle ──first byte──► kHead ──head accepted──► kBody ──whole──► kAnswer ──written──► kIdle
//      any ──refusal, Connection: close──► kClosing (last bytes out) ──► kLinger ──► closed
//
// While kAnswer runs, the read side stays watched: that is how a peer that left is noticed. An end
// of file there, even a half-close, counts as leaving (as nginx has it), unless the handler has
// finished the answer: then what is left of it is still sent.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/answer.h"
#include "net/http.h"
#include "net/request_reader.h"
#include "net/server_state.h"

namespace pelton::net {

class Connection;

// What a connection needs of the loop that runs it. Owned by the loop's thread.
class ConnectionHost {
 public:
  virtual Handler& handler() = 0;
  virtual const std::shared_ptr<ServerState>& state() = 0;
  virtual std::string& scratch() = 0;             // for one read; shared by the loop's connections
  virtual void Remove(Connection* connection) = 0;  // drops the loop's hold on it

 protected:
  ~ConnectionHost() = default;
};

class Connection final : public std::enable_shared_from_this<Connection>, private AnswerSink {
 public:
  Connection(ConnectionHost& host, boost::asio::ip::tcp::socket socket);
  ~Connection();

  void Start();
  void StartRefused();         // answers 503 and closes: one connection too many
  void OnTick(int64_t now_ns);  // closes or refuses what went past its deadline
  void CloseIfIdle();          // when draining
  void Close();                // now; safe to call twice

 private:
  enum class Phase : uint8_t { kIdle, kHead, kBody, kAnswer, kClosing, kLinger, kClosed };

  void PostFlush() override;  // any thread, while an answer is attached

  void Enter(Phase phase, int deadline_ms);
  void WatchReads();
  void WatchWrites();
  void OnReadable();
  void OnEndOfFile();
  void Consume(std::string_view bytes);
  void ReadRequests(std::string_view bytes);  // as far as they go; the rest waits in `input_`
  void DecideOnHead();
  void OnBodyPiece();
  void SendContinue();
  void AccountBody();
  void Attach();    // makes `answer_` of what the reader has
  void Dispatch();
  void RefuseRequest(const Refusal& refusal);
  void SendAndClose(const Response& response);
  void CheckBodyPace(int64_t now_ns);

  void Flush();
  bool SendSome();     // false: the kernel takes no more now, or the connection is closed
  void FinishAnswer(const Answer::Pending& last);
  void StartLinger();

  ConnectionHost& host_;
  const std::shared_ptr<ServerState> state_;
  boost::asio::ip::tcp::socket socket_;
  std::string peer_;
  bool peer_is_loopback_ = false;

  Phase phase_ = Phase::kIdle;
  bool reads_watched_ = false;
  bool writes_watched_ = false;
  bool end_of_file_ = false;
  bool first_request_ = true;
  bool continue_owed_ = false;     // "100 Continue" before the body
  int64_t deadline_ns_ = 0;        // 0: none
  int64_t write_deadline_ns_ = 0;  // while something waits to be taken by the peer
  int64_t window_began_ns_ = 0;    // of the body's pace
  uint64_t window_body_bytes_ = 0;
  uint64_t body_accounted_ = 0;    // of ServerState::body_bytes, for the body being read
  size_t linger_bytes_ = 0;

  RequestReader reader_;
  std::string input_;              // read, not yet looked at: the next requests
  std::shared_ptr<Answer> answer_;
  std::string output_;             // being sent, from output_sent_ on
  size_t output_sent_ = 0;
};

}  // namespace pelton::net
