#include "progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/clock.h"

namespace pelton::app {
namespace {

std::string Size(uint64_t bytes) {
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

std::string Remaining(double seconds) {
  if (seconds >= 3600) return fmt::format("{:.1f} h left", seconds / 3600);
  if (seconds >= 60) return fmt::format("{:.0f} min left", seconds / 60);
  return fmt::format("{:.0f} s left", seconds);
}

}  // namespace

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)), terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (drawn_ && terminal_) fmt::print(stderr, "\n");
}

void ProgressBar::Show(uint64_t done_bytes, uint64_t total_bytes) {
  const int64_t now = NowNs();
  if (started_ns_ == 0) {
    started_ns_ = now;
    first_bytes_ = done_bytes;
  }
  const double share =
      total_bytes == 0 ? 1.0 : static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
  const bool last = done_bytes >= total_bytes;
  if (!terminal_) {
    const int decile = static_cast<int>(share * 10);
    if (decile == last_decile_) return;
    last_decile_ = decile;
    fmt::print(stderr, "{} {:3.0f} % of {}\n", label_, share * 100, Size(total_bytes));
    return;
  }
  if (!last && now - drawn_ns_ < 100'000'000) return;
  drawn_ns_ = now;
  drawn_ = true;
  constexpr int kWidth = 30;
  const int full = std::clamp(static_cast<int>(share * kWidth), 0, kWidth);
  const double seconds = static_cast<double>(now - started_ns_) * 1e-9;
  const double rate =
      seconds > 0.2 ? static_cast<double>(done_bytes - first_bytes_) / seconds : 0.0;
  const std::string speed =
      rate > 0 ? fmt::format("{}/s, {}", Size(static_cast<uint64_t>(rate)),
                             Remaining(static_cast<double>(total_bytes - done_bytes) / rate))
               : "";
  fmt::print(stderr, "\r\033[K{} [{}{}] {} of {} {}", label_, std::string(full, '#'),
             std::string(kWidth - full, '.'), Size(done_bytes), Size(total_bytes),
             last ? "" : speed);
  std::fflush(stderr);
}

}  // namespace pelton::app
