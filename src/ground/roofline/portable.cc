#include <cstring>

#include "roofline/loops.h"

namespace pelton::roofline {

void ReadPortable(const std::byte* data, size_t bytes) {
  uint64_t sum[8] = {};
  for (size_t i = 0; i + 64 <= bytes; i += 64) {
    uint64_t words[8];
    std::memcpy(words, data + i, sizeof words);
    for (int j = 0; j < 8; ++j) sum[j] ^= words[j];
  }
  for (const uint64_t each : sum) __asm__ volatile("" : : "r"(each));
}

void MultiplyPortable(int64_t turns) {
  float sum[8] = {};
  float factor = 0.5f;
  for (int64_t i = 0; i < turns; ++i) {
    __asm__ volatile("" : "+m"(factor));
    for (float& each : sum) each += factor * factor;
  }
  for (const float each : sum) {
    float kept = each;
    __asm__ volatile("" : "+m"(kept));
  }
}

}  // namespace pelton::roofline
