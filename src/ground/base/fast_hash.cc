#include "base/fast_hash.h"

#include <bit>
#include <cstring>

namespace pelton {
namespace {

static_assert(std::endian::native == std::endian::little, "sums are defined over little-endian words");

// Odd, with half of the bits set: fractional digits of the square roots of 2, 3, 5, 7, 11, …
constexpr uint64_t kKeys[8] = {0x6a09e667f3bcc909, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                               0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                               0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
constexpr size_t kStripeBytes = 64;  // four lanes of two words

uint64_t WordAt(const std::byte* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Both halves of the 128-bit product: every bit of either factor reaches every bit of the result.
uint64_t Fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

uint64_t FastHash(std::span<const std::byte> bytes, uint64_t seed) {
  // Lanes take turns in no chain of multiplications: a lane is rotated and a product added, so that
  // order counts and the products of neighbouring stripes overlap in the pipeline.
  uint64_t lanes[4] = {seed ^ kKeys[1], seed ^ kKeys[3], seed ^ kKeys[5], seed ^ kKeys[7]};
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  const auto stripe = [&](const std::byte* in) {
    for (int j = 0; j < 4; ++j) {
      lanes[j] = std::rotl(lanes[j], 29) +
                 Fold(WordAt(in + 16 * j) ^ kKeys[2 * j], WordAt(in + 16 * j + 8) ^ kKeys[2 * j + 1]);
    }
  };
  for (; left >= kStripeBytes; left -= kStripeBytes, at += kStripeBytes) stripe(at);
  if (left > 0) {
    std::byte last[kStripeBytes] = {};
    std::memcpy(last, at, left);
    stripe(last);
  }
  uint64_t hash = Fold(bytes.size() ^ kKeys[0], seed ^ kKeys[2]);
  for (int j = 0; j < 4; ++j) hash = Fold(hash ^ lanes[j], kKeys[2 * j + 1]) + std::rotl(lanes[j], 17);
  return Fold(hash ^ kKeys[4], kKeys[6]) ^ hash;
}

}  // namespace pelton
