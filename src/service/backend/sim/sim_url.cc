#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "backend/sim/sim_backend.h"

namespace pelton::backend {
namespace {

constexpr std::string_view kScheme = "sim:";

Status BadValue(std::string_view key, std::string_view value, double low, double high) {
  return InvalidArgument(
      fmt::format("sim: option {}={} must be a number from {} to {}", key, value, low, high));
}

Status ReadNumber(std::string_view key, std::string_view value, double low, double high,
                  double* out) {
  double parsed = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  if (error != std::errc() || end != value.data() + value.size() || !std::isfinite(parsed) ||
      parsed < low || parsed > high) {
    return BadValue(key, value, low, high);
  }
  *out = parsed;
  return OkStatus();
}

Status ReadInt(std::string_view key, std::string_view value, double low, double high, int* out) {
  double parsed = 0;
  RETURN_IF_ERROR(ReadNumber(key, value, low, high, &parsed));
  if (parsed != std::floor(parsed)) return BadValue(key, value, low, high);
  *out = static_cast<int>(parsed);
  return OkStatus();
}

Status Set(std::string_view key, std::string_view value, SimOptions* options) {
  if (key == "rate") return ReadNumber(key, value, 0.01, 1e6, &options->rate);
  if (key == "prefill") return ReadNumber(key, value, 1, 1e9, &options->prefill);
  if (key == "length") return ReadInt(key, value, 1, 1 << 20, &options->length);
  if (key == "context") return ReadInt(key, value, 16, 1 << 20, &options->context);
  if (key == "slots") return ReadInt(key, value, 1, 65536, &options->slots);
  if (key == "queue") return ReadInt(key, value, 0, 65536, &options->queue);
  if (key == "load_ms") return ReadInt(key, value, 0, 600'000, &options->load_ms);
  if (key == "stall_after") return ReadInt(key, value, 0, 1 << 20, &options->stall_after);
  return InvalidArgument(fmt::format(
      "sim: unknown option \"{}\" (known: rate, prefill, length, context, slots, queue, "
      "load_ms, stall_after)", key));
}

}  // namespace

bool IsSimUrl(std::string_view path) { return path.starts_with(kScheme); }

Result<SimOptions> ParseSimUrl(std::string_view url) {
  if (!IsSimUrl(url)) return InvalidArgument("not a sim: address");
  url.remove_prefix(kScheme.size());
  SimOptions options;
  if (url.empty()) return options;
  if (url.front() != '?') return InvalidArgument("sim: takes options only after '?'");
  url.remove_prefix(1);
  while (!url.empty()) {
    const size_t end = std::min(url.find('&'), url.size());
    const std::string_view pair = url.substr(0, end);
    url.remove_prefix(std::min(end + 1, url.size()));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return InvalidArgument(fmt::format("sim: option \"{}\" has no value", pair));
    }
    RETURN_IF_ERROR(Set(pair.substr(0, equals), pair.substr(equals + 1), &options));
  }
  return options;
}

}  // namespace pelton::backend
