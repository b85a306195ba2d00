// The life of one request to generate: its sequences on a backend, cancellation, back pressure,
// figures. Owned by the backend's sinks and the pump while anything can still come.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "backend/backend.h"
#include "serving/admission.h"
#include "serving/catalogue.h"
#include "serving/model_metrics.h"
#include "serving/pump.h"
#include "serving/request_log.h"

namespace pelton::serving {

// What takes the deltas: an API's stream or collector. All calls come from the pump's thread, one
// at a time, none after OnFinished.
class Output {
 public:
  virtual ~Output() = default;
  virtual void OnDelta(int index, backend::Delta&& delta) = 0;
  // After the last sequence's last delta; `record` is complete.
  virtual void OnFinished(const RequestRecord& record) = 0;
  virtual void OnTick(int64_t now_ns) = 0;      // every Pump::kTickMs while running
  // True while the reader is behind: the sequences pause until it is not.
  virtual bool Congested() = 0;
};

class Generation : public std::enable_shared_from_this<Generation> {  // thread-safe
 public:
  // Deltas of one sequence waiting at the pump; at so many the sequence pauses.
  static constexpr int kPendingMax = 64;

  // `log` may be null.
  Generation(Pump& pump, std::shared_ptr<Output> output, int64_t arrived_ns,
             RequestLog* log = nullptr)
      : pump_(pump), output_(std::move(output)), arrived_ns_(arrived_ns), log_(log) {}

  // Submits every sequence, or none: on an error those already submitted are cancelled and the
  // output hears nothing. CANCELLED when Cancel came first.
  // `record`: who asks for what; its timings are filled in here.
  Status Start(std::shared_ptr<const Served> model, std::shared_ptr<ModelMetrics> metrics,
               std::vector<backend::SequenceRequest> sequences, Ticket ticket,
               RequestRecord record = {});

  void Cancel();         // the client has gone
  void ReaderDrained();  // the writer has room again
  bool cancelled() const;

  // For the pump.
  void Deliver(int index, backend::Delta&& delta, int64_t at_ns);
  bool Tick(int64_t now_ns);  // false once done

 private:
  class Sink;
  struct Sequence {
    backend::RequestId id = 0;
    std::atomic<int> pending{0};   // deltas at the pump
    int64_t last_token_ns = 0;     // the rest: owned by the pump's thread
    int tokens = 0;
    bool finished = false;
    backend::Usage usage;
    std::optional<backend::FinishReason> finish;
  };

  backend::Flow Take(int index, backend::Delta&& delta);
  void Observe(Sequence* sequence, const backend::Delta& delta, int64_t at_ns);
  void Started(int prompt_tokens);
  void CompleteRecord();
  void Finish();
  void ResumeAll();

  Pump& pump_;
  const std::shared_ptr<Output> output_;
  const int64_t arrived_ns_;
  RequestLog* const log_;

  mutable std::mutex mutex_;
  enum class State : uint8_t { kNew, kRunning, kRefused, kDone };
  State state_ = State::kNew;  // guarded by mutex_
  bool cancelled_ = false;     // guarded by mutex_
  Ticket ticket_;              // guarded by mutex_

  // Set in Start under mutex_, constant afterwards.
  std::shared_ptr<const Served> model_;
  std::shared_ptr<ModelMetrics> metrics_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  RequestRecord record_;
  int64_t submitted_ns_ = 0;

  std::atomic<bool> congested_{false};
  std::atomic<bool> any_paused_{false};
  int unfinished_ = 0;  // owned by the pump's thread once running
};

}  // namespace pelton::serving
