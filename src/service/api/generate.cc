#include "api/generate.h"

#include <fmt/core.h>

#include <charconv>
#include <mutex>
#include <utility>

namespace pelton::api {
namespace {

constexpr int64_t kPrepFullRetryMs = 1000;
constexpr char kTimeoutHeader[] = "x-request-timeout-ms";

// Hears of a vanished client from the first moment, also while the request is still being read.
class Abandon {
 public:
  void Set(const std::shared_ptr<serving::Generation>& generation) {
    bool gone = false;
    {
      const std::lock_guard lock(mutex_);
      generation_ = generation;
      gone = gone_;
    }
    if (gone) generation->Cancel();
  }
  void ClientGone() {
    std::shared_ptr<serving::Generation> generation;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      generation = generation_.lock();
    }
    if (generation) generation->Cancel();
  }
  void Drained() {
    std::shared_ptr<serving::Generation> generation;
    {
      const std::lock_guard lock(mutex_);
      generation = generation_.lock();
    }
    if (generation) generation->ReaderDrained();
  }
  bool gone() const {
    const std::lock_guard lock(mutex_);
    return gone_;
  }

 private:
  mutable std::mutex mutex_;
  std::weak_ptr<serving::Generation> generation_;  // guarded by mutex_
  bool gone_ = false;                              // guarded by mutex_
};

// Milliseconds in a header; 0 when there is none.
Result<int64_t> HeaderTimeoutMs(const net::RequestHead& head) {
  const auto text = head.headers.Find(kTimeoutHeader);
  if (!text) return int64_t{0};
  int64_t ms = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), ms);
  if (error == std::errc() && end == text->data() + text->size() && ms >= 1 &&
      ms <= int64_t{serving::kTimeoutMaxS} * 1000) {
    return ms;
  }
  return InvalidArgument(fmt::format("the header {} must be a whole number of milliseconds from 1 "
                                     "to {}", kTimeoutHeader, int64_t{serving::kTimeoutMaxS} * 1000))
      .WithParam(kTimeoutHeader);
}

// The shortest of what header, body and --request-timeout-s say.
Result<int64_t> DeadlineNs(const Call& call, const ParsedRequest& parsed) {
  const auto header_ms = HeaderTimeoutMs(call.exchange->head());
  if (!header_ms.ok()) return header_ms.status();
  double seconds = 0;
  for (const double limit_s : {static_cast<double>(*header_ms) * 1e-3, parsed.timeout_s,
                               call.app.options.request_timeout_s}) {
    if (limit_s > 0 && (seconds == 0 || limit_s < seconds)) seconds = limit_s;
  }
  return seconds == 0 ? 0 : call.arrived_ns + static_cast<int64_t>(seconds * 1e9);
}

// One request on its way to a generation: read, then perhaps waiting for its model, then started.
class Attempt final : public serving::LoadWaiter, public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(const Call& call, const Dialect& dialect, std::shared_ptr<Abandon> abandon)
      : call_(call), dialect_(dialect), abandon_(std::move(abandon)) {}

  // On a prep thread.
  void Run() {
    if (abandon_->gone()) return;
    if (const Status status = ReadAndStart(); !status.ok()) Refuse(status);
  }

  bool Gone() const override { return abandon_->gone(); }
  // The body, and about as much again for what was read from it.
  size_t bytes() const override { return 2 * call_.exchange->body().size(); }

  void OnProgress(double share) override {
    if (!parsed_.form.stream || Gone()) return;
    dialect_.progress(call_, parsed_, !stream_begun_, fmt::format("loading the model, {:.0f} %", share * 100));
    stream_begun_ = true;
  }

  void OnEnd(Result<std::shared_ptr<const serving::Served>> model) override {
    if (!model.ok()) {
      Refuse(model.status());
      return;
    }
    const bool queued = call_.app.service.prep().TryRun([self = shared_from_this(),
                                                         served = *std::move(model)] {
      if (const Status status = self->Start(served); !status.ok()) self->Refuse(status);
    });
    if (!queued) Refuse(PrepFull());
  }

 private:
  Status ReadAndStart() {
    auto parsed = dialect_.parse(call_.exchange->body(), call_.app.options.strict_api);
    if (!parsed.ok()) return parsed.status();
    parsed_ = *std::move(parsed);
    if (dialect_.before != nullptr && dialect_.before(call_, &parsed_)) return OkStatus();
    RETURN_IF_ERROR(NoteCaller());
    auto model = call_.app.service.catalogue().FindOrWait(parsed_.request.model,
                                                          shared_from_this());
    if (!model.ok()) return model.status();
    return *model ? Start(*model) : OkStatus();  // null: OnEnd goes on
  }

  // Who asks, how urgently, and by when.
  Status NoteCaller() {
    serving::GenerateRequest& request = parsed_.request;
    if (request.priority > 0 && call_.caller.role != identity::Role::kOperator) {
      return std::move(PermissionDenied("'priority' below 0 needs a key of role operator"))
          .WithParam("priority");
    }
    request.id = call_.request_id;
    request.tenant = call_.caller.tenant;
    request.tenant_weight = call_.caller.weight;
    request.arrived_ns = call_.arrived_ns;
    const auto deadline_ns = DeadlineNs(call_, parsed_);
    if (!deadline_ns.ok()) return deadline_ns.status();
    request.deadline_ns = *deadline_ns;
    return OkStatus();
  }

  Status Start(const std::shared_ptr<const serving::Served>& model) {
    call_.notes->model = model->name;
    if (parsed_.request.prompts.empty() && dialect_.loaded != nullptr) {
      dialect_.loaded(call_, parsed_);
      return OkStatus();
    }
    turn::ApplyTools(parsed_.form.tools, model->backend->facts(), &parsed_.request);
    auto output = dialect_.answer(call_, parsed_, *model, stream_begun_);
    auto generation = call_.app.service.NewGeneration(std::move(output), call_.arrived_ns);
    abandon_->Set(generation);
    return call_.app.service.Start(model, parsed_.request, generation);
  }

  void Refuse(const Status& status) {
    if (stream_begun_) {
      dialect_.end_stream(call_, status);
    } else {
      call_.exchange->Respond(dialect_.error(call_, status));
    }
  }

  const Call call_;
  const Dialect dialect_;
  const std::shared_ptr<Abandon> abandon_;
  // Written by one thread at a time: prep, then fleet, then prep.
  ParsedRequest parsed_;
  bool stream_begun_ = false;
};

}  // namespace

void Generate(const Call& call, const Dialect& dialect) {
  auto abandon = std::make_shared<Abandon>();
  call.exchange->OnClosed([abandon] { abandon->ClientGone(); });
  call.exchange->OnDrained([abandon] { abandon->Drained(); });
  auto attempt = std::make_shared<Attempt>(call, dialect, std::move(abandon));
  const bool queued = call.app.service.prep().TryRun([attempt] { attempt->Run(); });
  if (!queued) call.exchange->Respond(dialect.error(call, PrepFull()));
}

Status PrepFull() {
  return Unavailable("too many requests are waiting to be read").WithRetryAfter(kPrepFullRetryMs);
}

}  // namespace pelton::api
