#include <algorithm>

#include "net/http.h"
#include "net/syntax.h"

namespace pelton::net {

std::optional<std::string_view> Headers::Find(std::string_view name) const {
  for (const auto& [field, value] : fields_) {
    if (EqualIgnoringCase(field, name)) return value;
  }
  return std::nullopt;
}

size_t Headers::Count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(fields_.begin(), fields_.end(), [&](const auto& field) {
    return EqualIgnoringCase(field.first, name);
  }));
}

}  // namespace pelton::net
