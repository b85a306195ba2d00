// A progress bar on standard error: redrawn in place on a terminal, one line every ten percent
// elsewhere.
#pragma once

#include <cstdint>
#include <string>

namespace pelton::app {

class ProgressBar {  // owned by one thread
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();  // ends the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Show(uint64_t done_bytes, uint64_t total_bytes);

 private:
  const std::string label_;
  const bool terminal_;
  int64_t started_ns_ = 0;
  int64_t drawn_ns_ = 0;
  uint64_t first_bytes_ = 0;  // what was there before: a resumed transfer's rate counts from here
  int last_decile_ = -1;
  bool drawn_ = false;
};

}  // namespace pelton::app
