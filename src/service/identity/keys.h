// API keys and who a caller is. The tenant comes from the key and from nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/sha256.h"

namespace pelton::identity {

enum class Role : uint8_t { kUser, kOperator };
std::string_view RoleName(Role role);
Result<Role> ParseRole(std::string_view text);  // "user", "operator"

struct Caller {
  std::string tenant;
  Role role = Role::kUser;
  double weight = 1;  // the tenant's part of the machine relative to the others'
};

inline constexpr std::string_view kDefaultTenant = "default";
inline constexpr size_t kKeysMax = 10'000;
inline constexpr size_t kKeyBytesMin = 8;
inline constexpr size_t kKeyBytesMax = 512;
inline constexpr size_t kTenantBytesMax = 64;
inline constexpr double kWeightMin = 0.01;
inline constexpr double kWeightMax = 100;

// One key as the configuration has it: never the key itself.
struct KeyRecord {
  std::string tenant;
  Role role = Role::kUser;
  codec::Sha256Digest sha256{};
  double weight = 1;  // the same in all keys of a tenant
};

// What a request showed of itself. Views into the request.
struct Credentials {
  std::optional<std::string_view> authorization;  // the header's value
  std::optional<std::string_view> x_api_key;
  int presented = 0;  // how many of those header fields there were; more than one is refused
  bool peer_is_loopback = false;
};

enum class KeylessMode : uint8_t {
  kLoopbackOperator,  // bound to loopback only: callers are operators
  kEveryoneUser,      // --allow-unauthenticated
};

// Immutable after construction; thread-safe.
class KeyRing {
 public:
  // INVALID_ARGUMENT: two records with one digest, an empty or long tenant, too many keys, a weight
  // out of bounds or two weights of one tenant.
  static Result<std::unique_ptr<KeyRing>> Make(std::vector<KeyRecord> records,
                                               KeylessMode keyless);

  bool has_keys() const { return !records_.empty(); }
  bool has_several_tenants() const;

  // UNAUTHENTICATED with a sentence that says what was missing, never what was shown. Time does not
  // depend on which key matches or on how much of one does.
  Result<Caller> Authenticate(const Credentials& credentials) const;

 private:
  KeyRing(std::vector<KeyRecord> records, KeylessMode keyless)
      : records_(std::move(records)), keyless_(keyless) {}

  const std::vector<KeyRecord> records_;
  const KeylessMode keyless_;
};

// One key a line (empty lines and lines that begin with '#' are skipped): tenant "default", role
// operator. PERMISSION_DENIED when group or others may read the file (mode & 077).
Result<std::vector<KeyRecord>> ReadKeyFile(const std::string& path);

}  // namespace pelton::identity
