#include "identity/keys.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

namespace pelton::identity {
namespace {

constexpr std::string_view kHowTo =
    "send the API key as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\"";

bool EqualWithoutCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Result<std::string_view> KeyOf(const Credentials& credentials) {
  if (credentials.presented > 1) {
    return Unauthenticated("more than one API key was sent; send exactly one");
  }
  if (credentials.x_api_key) return Trim(*credentials.x_api_key);
  if (!credentials.authorization) {
    return Unauthenticated(fmt::format("no API key: {}", kHowTo));
  }
  const std::string_view value = Trim(*credentials.authorization);
  const size_t space = value.find(' ');
  if (space == std::string_view::npos || !EqualWithoutCase(value.substr(0, space), "bearer")) {
    return Unauthenticated(
        fmt::format("the Authorization header is not a bearer token: {}", kHowTo));
  }
  return Trim(value.substr(space));
}

}  // namespace

std::string_view RoleName(Role role) { return role == Role::kOperator ? "operator" : "user"; }

Result<Role> ParseRole(std::string_view text) {
  if (text == "user") return Role::kUser;
  if (text == "operator") return Role::kOperator;
  return InvalidArgument(fmt::format("role \"{}\" is not user or operator", text));
}

Result<std::unique_ptr<KeyRing>> KeyRing::Make(std::vector<KeyRecord> records,
                                               KeylessMode keyless) {
  if (records.size() > kKeysMax) {
    return InvalidArgument(fmt::format("{} keys; at most {}", records.size(), kKeysMax));
  }
  std::vector<codec::Sha256Digest> digests;
  std::map<std::string, double> weights;
  for (const KeyRecord& record : records) {
    if (record.tenant.empty() || record.tenant.size() > kTenantBytesMax) {
      return InvalidArgument(
          fmt::format("a key's tenant must have 1 to {} bytes", kTenantBytesMax));
    }
    if (!(record.weight >= kWeightMin && record.weight <= kWeightMax)) {
      return InvalidArgument(fmt::format("tenant {} has the weight {}; it must be {} to {}",
                                         record.tenant, record.weight, kWeightMin, kWeightMax));
    }
    const auto [first, added] = weights.emplace(record.tenant, record.weight);
    if (!added && first->second != record.weight) {
      return InvalidArgument(fmt::format("keys of tenant {} have two weights, {} and {}",
                                         record.tenant, first->second, record.weight));
    }
    digests.push_back(record.sha256);
  }
  std::sort(digests.begin(), digests.end());
  if (std::adjacent_find(digests.begin(), digests.end()) != digests.end()) {
    return InvalidArgument("one API key is listed twice");
  }
  return std::unique_ptr<KeyRing>(new KeyRing(std::move(records), keyless));
}

Result<Caller> KeyRing::Authenticate(const Credentials& credentials) const {
  if (records_.empty()) {
    const bool is_operator =
        keyless_ == KeylessMode::kLoopbackOperator && credentials.peer_is_loopback;
    return Caller{std::string(kDefaultTenant), is_operator ? Role::kOperator : Role::kUser};
  }
  const Result<std::string_view> key = KeyOf(credentials);
  if (!key.ok()) return key.status();
  if (key->empty() || key->size() > kKeyBytesMax) {
    return Unauthenticated("the API key is not valid");
  }
  // Digests are compared, and all of them: neither the place of the first difference nor the place
  // of the record shows in the time.
  const codec::Sha256Digest digest = codec::Sha256(*key);
  const KeyRecord* found = nullptr;
  for (const KeyRecord& record : records_) {
    if (codec::ConstantTimeEqual(record.sha256, digest)) found = &record;
  }
  if (found == nullptr) return Unauthenticated("the API key is not valid");
  return Caller{found->tenant, found->role, found->weight};
}

bool KeyRing::has_several_tenants() const {
  return std::any_of(records_.begin(), records_.end(), [&](const KeyRecord& record) {
    return record.tenant != records_.front().tenant;
  });
}

}  // namespace pelton::identity
