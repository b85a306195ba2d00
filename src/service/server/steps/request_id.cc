#include <algorithm>

#include "base/random.h"
#include "server/steps/steps.h"

namespace pelton::server {
namespace {

constexpr size_t kRequestIdBytesMax = 128;

bool WellFormed(std::string_view id) {
  return !id.empty() && id.size() <= kRequestIdBytesMax &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == ':';
         });
}

}  // namespace

// The client's own id when it sends a plain one, else a random one.
Refusal GiveRequestId(const StepContext&, const net::RequestHead& head, RequestFacts* facts) {
  const auto sent = head.headers.Find("x-request-id");
  facts->request_id = sent && WellFormed(*sent) ? std::string(*sent) : RandomId("req-");
  return std::nullopt;
}

}  // namespace pelton::server
