// What handlers are given: the parts of the process they use, and one call.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/cpu_watch.h"
#include "base/memory_budget.h"
#include "identity/keys.h"
#include "net/http.h"
#include "obs/metrics.h"
#include "serving/service.h"

namespace pelton::api {

struct ApiOptions {
  bool strict_api = false;
  double request_timeout_s = 0;
  double stall_s = 30;

  template <typename V>
  void Fields(V& v) {
    v.Field("strict-api", strict_api,
            {.help = "Refuse request fields that are unknown or without effect, instead of naming "
                     "them in the header x-pelton-ignored."});
    v.Field("request-timeout-s", request_timeout_s,
            {.help = "Seconds after which a request that still waits in the queue is dropped "
                     "(504); 0: never.", .min = 0, .max = 86'400});
    v.Field("stall-s", stall_s,
            {.help = "Seconds without a turn of a generation loop after which /healthz fails.",
             .min = 1, .max = 3'600});
  }
};

// Lives as long as the server. Thread-safe.
struct App {
  serving::Service& service;
  obs::Registry& registry;
  const ApiOptions& options;
  std::string version;
  size_t write_buffer_max = 0;  // of net::ServerOptions
  std::atomic<bool> draining{false};
  const MemoryBudget* memory = nullptr;  // null: not shown
  const CpuWatch* cpu = nullptr;         // null: not shown
};

// What a handler knows of an answer, for the access log. Written before the answer ends, read
// after.
struct Notes {
  std::string model;
  std::string_view finish = {};  // finish reason of the first sequence
  int64_t prompt_tokens = -1;    // negative: nothing was generated
  int64_t cached_tokens = -1;
  int64_t completion_tokens = -1;
  double queue_s = -1;
  double first_token_s = -1;
};

struct Call {
  App& app;
  std::shared_ptr<net::Exchange> exchange;
  identity::Caller caller;
  std::string request_id;
  std::string path_parameter;  // what stands for {…} in the route's pattern
  int64_t arrived_ns = 0;      // monotonic
  std::shared_ptr<Notes> notes;
};

// Called on an io thread once the body is there; must not block or compute for long.
using Handler = void (*)(const Call& call);

// Room for a body of each kind of route, in bytes.
inline constexpr uint64_t kNoBody = 0;
inline constexpr uint64_t kTextBody = uint64_t{10} << 20;

}  // namespace pelton::api
