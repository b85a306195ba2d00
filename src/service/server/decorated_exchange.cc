#include "server/decorated_exchange.h"

#include <atomic>
#include <utility>

#include "base/clock.h"

namespace pelton::server {
namespace {

class Decorated final : public net::Exchange {
 public:
  Decorated(std::shared_ptr<net::Exchange> inner, const RequestFacts& facts,
            std::shared_ptr<api::Notes> notes, OnEnding on_ending)
      : inner_(std::move(inner)), facts_(facts), notes_(std::move(notes)),
        on_ending_(std::move(on_ending)), begun_ns_(NowNs()) {}
  ~Decorated() override { End(kClientGone); }

  const net::RequestHead& head() const override { return inner_->head(); }
  const std::string& body() const override { return inner_->body(); }

  void Respond(net::Response response) override {
    AddCommonHeaders(facts_, &response.headers);
    const int status = response.status;
    inner_->Respond(std::move(response));
    End(status);
  }
  void StartStream(int status, net::Headers headers) override {
    AddCommonHeaders(facts_, &headers);
    stream_status_.store(status);
    inner_->StartStream(status, std::move(headers));
  }
  void Write(std::string data) override { inner_->Write(std::move(data)); }
  void Finish() override {
    inner_->Finish();
    End(stream_status_.load());
  }
  void Abort() override {
    inner_->Abort();
    End(kClientGone);
  }
  size_t buffered_bytes() const override { return inner_->buffered_bytes(); }
  void OnClosed(std::function<void()> callback) override {
    inner_->OnClosed([gone = gone_, callback = std::move(callback)] {
      gone->store(true);
      callback();
    });
  }
  void OnDrained(std::function<void()> callback) override {
    inner_->OnDrained(std::move(callback));
  }

 private:
  void End(int status) {
    if (ended_.exchange(true)) return;
    if (gone_->load()) status = kClientGone;  // whatever was said, nobody heard it
    on_ending_({.head = head(), .facts = facts_, .notes = *notes_, .status = status,
                .duration_ns = NowNs() - begun_ns_});
  }

  const std::shared_ptr<net::Exchange> inner_;
  const RequestFacts facts_;
  const std::shared_ptr<api::Notes> notes_;
  const OnEnding on_ending_;
  const int64_t begun_ns_;
  std::atomic<int> stream_status_{200};
  std::atomic<bool> ended_{false};
  // Shared with a callback that may outlive this.
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

void AddCommonHeaders(const RequestFacts& facts, net::Headers* headers) {
  headers->Add("x-request-id", facts.request_id);
  headers->Add("x-content-type-options", "nosniff");
  if (facts.cors_origin.empty()) return;
  headers->Add("access-control-allow-origin", facts.cors_origin);
  headers->Add("access-control-expose-headers", "x-request-id, x-pelton-ignored, retry-after");
  headers->Add("vary", "origin");
}

std::shared_ptr<net::Exchange> Decorate(std::shared_ptr<net::Exchange> inner,
                                        const RequestFacts& facts,
                                        std::shared_ptr<api::Notes> notes, OnEnding on_ending) {
  return std::make_shared<Decorated>(std::move(inner), facts, std::move(notes),
                                     std::move(on_ending));
}

}  // namespace pelton::server
