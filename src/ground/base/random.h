// Random numbers: counter-based for anything that must replay from a seed, the kernel's for ids.
#pragma once

#include <cstdint>
#include <string>

namespace pelton {

// One round of SplitMix64 (Steele, Lea, Flood 2014): a bijective mix, good enough to turn
// (seed, counter) into independent draws.
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Draw number `counter` of stream `seed`, uniform in [0, 1) with 53 bits. Stateless: the same pair
// gives the same draw whatever else runs.
constexpr double UniformAt(uint64_t seed, uint64_t counter) {
  return static_cast<double>(Mix64(Mix64(seed) ^ Mix64(counter + 0x632be59bd9b4e019ULL)) >> 11) *
         0x1.0p-53;
}

// A small sequential generator for simulations and tests. Not thread-safe.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return Mix64(state_++); }
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : Next() % n; }  // bias below n / 2^64
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

 private:
  uint64_t state_;
};

// From the kernel (getrandom): for ids and seeds that nobody may guess. Thread-safe.
uint64_t SecureRandom64();
// `prefix` followed by 128 random bits in hex, such as "chatcmpl-5f…".
std::string RandomId(const char* prefix);

}  // namespace pelton
