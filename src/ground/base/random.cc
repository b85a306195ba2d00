#include "base/random.h"

#include <fmt/core.h>
#include <sys/random.h>

#include "base/assert.h"

namespace pelton {

uint64_t SecureRandom64() {
  uint64_t value = 0;
  ssize_t got = 0;
  do {
    got = getrandom(&value, sizeof value, 0);
  } while (got < 0);
  CHECK(got == sizeof value, "getrandom gave less than asked");
  return value;
}

std::string RandomId(const char* prefix) {
  return fmt::format("{}{:016x}{:016x}", prefix, SecureRandom64(), SecureRandom64());
}

}  // namespace pelton
