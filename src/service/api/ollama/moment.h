// Times as Ollama writes them.
#pragma once

#include <cstdint>
#include <string>

namespace pelton::api::ollama {

// "2026-01-31T23:59:59.123456789Z" (RFC 3339). `wall_ns`: since 1970-01-01 UTC.
std::string Rfc3339(int64_t wall_ns);
int64_t WallNs();
inline std::string NowRfc3339() { return Rfc3339(WallNs()); }

}  // namespace pelton::api::ollama
