#include "config/field.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "config/nearest.h"

namespace pelton::config {

std::string YamlKey(std::string_view name) {
  std::string key(name);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string VariableName(std::string_view name) {
  std::string variable = "PELTON_";
  for (const char c : name) {
    variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return variable;
}

namespace internal {

Result<bool> ParseBool(std::string_view word) {
  for (const std::string_view yes : {"true", "on", "yes", "1"}) {
    if (word == yes) return true;
  }
  for (const std::string_view no : {"false", "off", "no", "0"}) {
    if (word == no) return false;
  }
  return InvalidArgument("must be on or off");
}

Result<double> ParseNumber(std::string_view word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || !std::isfinite(value)) {
    return InvalidArgument("must be a number");
  }
  return value;
}

Result<int64_t> ParseInteger(std::string_view word) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error == std::errc::result_out_of_range) return InvalidArgument("is out of range");
  if (error != std::errc() || end != word.data() + word.size()) {
    return InvalidArgument("must be a whole number");
  }
  return value;
}

std::string NumberText(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15) return fmt::format("{:.0f}", value);
  return fmt::format("{:g}", value);
}

Status CheckRange(double value, const FieldSpec& spec) {
  if (value < spec.min) return InvalidArgument("must be at least " + NumberText(spec.min));
  if (value > spec.max) return InvalidArgument("must be at most " + NumberText(spec.max));
  return OkStatus();
}

Status CheckChoice(std::string_view value, const FieldSpec& spec) {
  if (spec.choices.empty()) return OkStatus();
  for (const std::string_view choice : spec.choices) {
    if (choice == value) return OkStatus();
  }
  return InvalidArgument(fmt::format("must be one of {}", fmt::join(spec.choices, ", ")));
}

Result<std::string> ScalarOf(const Node& node) {
  if (node.kind != Node::Kind::kScalar) return InvalidArgument("must be a single value");
  return node.scalar;
}

Status FillMembers(std::vector<Field>& members, const Node& node) {
  if (node.kind != Node::Kind::kMap) {
    return InvalidArgument(fmt::format("line {}: each entry must be a map", node.line));
  }
  for (const auto& [key, value] : node.members) {
    const auto found = std::find_if(members.begin(), members.end(),
                                    [&](const Field& f) { return YamlKey(f.name) == key; });
    if (found == members.end()) {
      std::vector<std::string> known;
      for (const Field& f : members) known.push_back(YamlKey(f.name));
      return InvalidArgument(
          fmt::format("line {}: unknown key '{}'{}", value.line, key, NearestHint(key, known)));
    }
    if (const Status status = found->set_node(value); !status.ok()) {
      return InvalidArgument(fmt::format("line {}: '{}' {}", value.line, key, status.message()));
    }
  }
  return OkStatus();
}

}  // namespace internal
}  // namespace pelton::config
