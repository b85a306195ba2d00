#include "kv/prefix_hash.h"

#include <bit>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "base/random.h"
#include "codec/sha256.h"

namespace pelton::kv {

namespace {

std::string_view Text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A label in front, so that digests made for one purpose never serve another.
TenantSalt Digest(std::string_view label, const ServerKey& key, std::string_view scope,
                  std::string_view text) {
  codec::Sha256Stream stream;
  stream.Push(label);
  stream.Push(Text(key));
  stream.Push(scope);
  stream.Push(text);
  return stream.Finish();
}

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void Take(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
  uint64_t Out() {
    for (int i = 0; i < 4; ++i) Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

ServerKey RandomServerKey() {
  ServerKey key;
  for (size_t i = 0; i < key.size(); i += 8) {
    const uint64_t word = SecureRandom64();
    std::memcpy(key.data() + i, &word, 8);
  }
  return key;
}

BlockHash SipHash128(const std::array<uint64_t, 2>& key, std::span<const std::byte> bytes) {
  SipState s{.v0 = key[0] ^ 0x736f6d6570736575ULL,
             .v1 = key[1] ^ 0x646f72616e646f6dULL ^ 0xee,
             .v2 = key[0] ^ 0x6c7967656e657261ULL,
             .v3 = key[1] ^ 0x7465646279746573ULL};
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    s.Take(word);
  }
  uint64_t last = uint64_t{bytes.size()} << 56;
  if (at < bytes.size()) std::memcpy(&last, bytes.data() + at, bytes.size() - at);
  s.Take(last);
  s.v2 ^= 0xee;
  const uint64_t low = s.Out();
  s.v1 ^= 0xdd;
  return {.low = low, .high = s.Out()};
}

PrefixHasher::PrefixHasher(const ServerKey& key, std::string_view scope, PrefixTestHooks hooks)
    : key_(key), scope_(Digest("pelton prefix scope", key, "", scope)), hooks_(hooks) {
  const TenantSalt sip = Digest("pelton prefix blocks", key_, Text(scope_), "");
  std::memcpy(sip_key_.data(), sip.data(), sizeof(sip_key_));
}

TenantSalt PrefixHasher::SaltOf(std::string_view tenant) const {
  if (hooks_.share_between_tenants) tenant = "";
  return Digest("pelton prefix tenant", key_, Text(scope_), tenant);
}

BlockHash PrefixHasher::Cut(BlockHash hash) const {
  if (hooks_.hash_bits >= 128) return hash;
  return {.low = hash.low & ((uint64_t{1} << hooks_.hash_bits) - 1), .high = 0};
}

BlockHash PrefixHasher::Root(const TenantSalt& salt) const {
  return Cut(SipHash128(sip_key_, std::as_bytes(std::span(salt))));
}

BlockHash PrefixHasher::Next(const BlockHash& parent, std::span<const int32_t> tokens) const {
  std::array<std::byte, 1024> bytes;
  const size_t length = sizeof(parent) + tokens.size_bytes();
  CHECK(length <= bytes.size(), "a block of tokens");
  std::memcpy(bytes.data(), &parent, sizeof(parent));
  std::memcpy(bytes.data() + sizeof(parent), tokens.data(), tokens.size_bytes());
  return Cut(SipHash128(sip_key_, {bytes.data(), length}));
}

void PrefixChain::Start(const PrefixHasher& hasher, std::string_view tenant) {
  salt_ = hasher.SaltOf(tenant);
  root_ = hasher.Root(salt_);
  hashes_.clear();
}

BlockHash PrefixChain::At(const PrefixHasher& hasher, std::span<const int32_t> tokens, int index,
                          int block_tokens) {
  const auto width = static_cast<size_t>(block_tokens);
  CHECK((static_cast<size_t>(index) + 1) * width <= tokens.size(), "only whole blocks are named");
  while (hashes_.size() <= static_cast<size_t>(index)) {
    const BlockHash& parent = hashes_.empty() ? root_ : hashes_.back();
    hashes_.push_back(hasher.Next(parent, tokens.subspan(hashes_.size() * width, width)));
  }
  return hashes_[static_cast<size_t>(index)];
}

std::span<const BlockHash> PrefixChain::First(const PrefixHasher& hasher,
                                              std::span<const int32_t> tokens, int count,
                                              int block_tokens) {
  if (count < 1) return {};
  At(hasher, tokens, count - 1, block_tokens);
  return std::span(hashes_).first(static_cast<size_t>(count));
}

}  // namespace pelton::kv
