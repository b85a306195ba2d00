#include "server/options.h"

#include <fmt/core.h>

#include <algorithm>

namespace pelton::server {

bool IsLoopbackHost(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host == "::1") return true;
  // 127.0.0.0/8, written as four decimal parts only.
  if (!host.starts_with("127.")) return false;
  int dots = 0;
  size_t digits = 0;
  for (const char c : host) {
    if (c == '.') {
      if (digits == 0) return false;
      ++dots;
      digits = 0;
    } else if (c >= '0' && c <= '9' && digits < 3) {
      ++digits;
    } else {
      return false;
    }
  }
  return dots == 3 && digits > 0;
}

Result<std::unique_ptr<identity::KeyRing>> MakeKeyRing(const ServerOptions& options) {
  std::vector<identity::KeyRecord> records;
  for (size_t i = 0; i < options.keys.size(); ++i) {
    const KeyEntry& entry = options.keys[i];
    const auto role = identity::ParseRole(entry.role);
    if (!role.ok()) return role.status().Prefixed(fmt::format("keys[{}]", i));
    const auto digest = codec::ParseSha256Hex(entry.sha256);
    if (!digest.ok()) return digest.status().Prefixed(fmt::format("keys[{}].sha256", i));
    records.push_back({entry.tenant, *role, *digest, entry.weight});
  }
  if (!options.api_key_file.empty()) {
    auto file = identity::ReadKeyFile(options.api_key_file);
    if (!file.ok()) return file.status();
    records.insert(records.end(), file->begin(), file->end());
  }
  const bool loopback = IsLoopbackHost(options.net.host);
  if (records.empty() && !loopback && !options.allow_unauthenticated) {
    return FailedPrecondition(fmt::format(
        "{} is not loopback and there are no API keys; give --api-key-file FILE, or "
        "--allow-unauthenticated to let everyone in", options.net.host));
  }
  return identity::KeyRing::Make(std::move(records),
                                 loopback && !options.allow_unauthenticated
                                     ? identity::KeylessMode::kLoopbackOperator
                                     : identity::KeylessMode::kEveryoneUser);
}

}  // namespace pelton::server
