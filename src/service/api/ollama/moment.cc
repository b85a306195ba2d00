#include "api/ollama/moment.h"

#include <fmt/core.h>

#include <chrono>
#include <ctime>

namespace pelton::api::ollama {

std::string Rfc3339(int64_t wall_ns) {
  constexpr int64_t kSecondNs = 1'000'000'000;
  int64_t seconds = wall_ns / kSecondNs, part_ns = wall_ns % kSecondNs;
  if (part_ns < 0) {
    --seconds;
    part_ns += kSecondNs;
  }
  const auto when = static_cast<std::time_t>(seconds);
  std::tm utc{};
  gmtime_r(&when, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, part_ns);
}

int64_t WallNs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace pelton::api::ollama
