// Names of token prefixes: a keyed hash chain over blocks of token ids. Block i's hash covers the
// model, the tenant and every token up to the end of block i. Nobody without the server's key can
// predict or collide it, and even a collision mixes nothing: whoever finds a block by its hash
// compares the tokens too.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace pelton::kv {

using ServerKey = std::array<uint8_t, 32>;
using TenantSalt = std::array<uint8_t, 32>;

struct BlockHash {
  uint64_t low = 0, high = 0;
  bool operator==(const BlockHash&) const = default;
};

ServerKey RandomServerKey();  // from the kernel

// Only tests change these: with few bits hashes collide, and with one salt for all the isolation of
// tenants is off, so that the tests of both can be seen to fail.
struct PrefixTestHooks {
  int hash_bits = 128;
  bool share_between_tenants = false;
};

class PrefixHasher {  // constant; thread-safe
 public:
  // `scope`: what keys and values depend on beside the tokens (model, kernel table, layout).
  PrefixHasher(const ServerKey& key, std::string_view scope, PrefixTestHooks hooks = {});

  const TenantSalt& scope() const { return scope_; }
  TenantSalt SaltOf(std::string_view tenant) const;
  BlockHash Root(const TenantSalt& salt) const;
  BlockHash Next(const BlockHash& parent, std::span<const int32_t> tokens) const;

 private:
  BlockHash Cut(BlockHash hash) const;

  const ServerKey key_;
  const TenantSalt scope_;
  const PrefixTestHooks hooks_;
  std::array<uint64_t, 2> sip_key_{};
};

// The hashes of one sequence's blocks, made as they are asked for. Tokens are only ever appended.
class PrefixChain {  // thread-compatible
 public:
  void Start(const PrefixHasher& hasher, std::string_view tenant);
  const TenantSalt& salt() const { return salt_; }
  // Of block `index`, whose tokens must all be known.
  BlockHash At(const PrefixHasher& hasher, std::span<const int32_t> tokens, int index,
               int block_tokens);
  // Of the first `count` blocks; valid until the next call.
  std::span<const BlockHash> First(const PrefixHasher& hasher, std::span<const int32_t> tokens,
                                   int count, int block_tokens);

 private:
  TenantSalt salt_{};
  BlockHash root_;
  std::vector<BlockHash> hashes_;
};

// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein 2012, and its reference's extension).
BlockHash SipHash128(const std::array<uint64_t, 2>& key, std::span<const std::byte> bytes);

}  // namespace pelton::kv
