#include "api/ollama/names.h"

namespace pelton::api::ollama {
namespace {

constexpr std::string_view kLatest = ":latest";

// A colon before the last slash is a port's.
bool HasTag(std::string_view name) {
  const size_t slash = name.rfind('/');
  return name.find(':', slash == name.npos ? 0 : slash) != name.npos;
}

}  // namespace

std::string NameIn(const serving::Catalogue& catalogue, std::string_view asked) {
  std::string other;
  if (asked.empty() || catalogue.NameFor(asked)) return std::string(asked);
  if (asked.ends_with(kLatest)) {
    other = asked.substr(0, asked.size() - kLatest.size());
  } else if (!HasTag(asked)) {
    other = WithTag(asked);
  }
  return !other.empty() && catalogue.NameFor(other) ? other : std::string(asked);
}

std::string WithTag(std::string_view name) {
  std::string out(name);
  if (!HasTag(name)) out += kLatest;
  return out;
}

}  // namespace pelton::api::ollama
