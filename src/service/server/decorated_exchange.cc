#include "server/decorated_exchange.h"

#include <atomic>
#include <utility>

#include "base/clock.h"

namespace pelton::server {
namespace {

constexpr int kClientGone = 499;

class Decorated final : public net::Exchange {
 public:
  Decorated(std::shared_ptr<net::Exchange> inner, const RequestFacts& facts, OnEnding on_ending)
      : inner_(std::move(inner)), facts_(facts), on_ending_(std::move(on_ending)),
        begun_ns_(NowNs()) {}
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
  void OnClosed(std::function<void()> callback) override { inner_->OnClosed(std::move(callback)); }
  void OnDrained(std::function<void()> callback) override {
    inner_->OnDrained(std::move(callback));
  }

 private:
  void End(int status) {
    if (ended_.exchange(true)) return;
    const Route* route = facts_.match.route;
    on_ending_({.method = head().method, .path = head().path,
                .route = route == nullptr ? "none" : route->pattern,
                .request_id = facts_.request_id, .tenant = facts_.caller.tenant,
                .status = status, .duration_ns = NowNs() - begun_ns_});
  }

  const std::shared_ptr<net::Exchange> inner_;
  const RequestFacts facts_;
  const OnEnding on_ending_;
  const int64_t begun_ns_;
  std::atomic<int> stream_status_{200};
  std::atomic<bool> ended_{false};
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
                                        const RequestFacts& facts, OnEnding on_ending) {
  return std::make_shared<Decorated>(std::move(inner), facts, std::move(on_ending));
}

}  // namespace pelton::server
