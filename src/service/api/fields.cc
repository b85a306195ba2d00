#include "api/fields.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace pelton::api {
namespace {

using codec::Json;
using enum FieldKind;

constexpr size_t kIgnoredNamesMax = 20;
constexpr size_t kIgnoredNameBytesMax = 64;

bool AsksForNothing(const Json& value, std::string_view neutral) {
  if (value.is_null()) return true;
  if (const auto b = value.AsBool()) return !*b || neutral == "true";
  if (const auto number = value.AsDouble(); number && *number == 0) return true;
  if (const std::string* text = value.AsString(); text && text->empty()) return true;
  if (const auto* array = value.AsArray(); array && array->empty()) return true;
  if (const auto* object = value.AsObject(); object && object->empty()) return true;
  if (neutral.empty()) return false;
  const Result<Json> other = codec::ParseJson(neutral);
  if (!other.ok()) return false;
  if (value.is_number() && other->is_number()) return value.AsDouble() == other->AsDouble();
  return value == *other;
}

Status CheckNumber(const FieldRow& row, const Json& value) {
  const bool whole = row.kind == kInteger;
  if (!value.is_number()) {
    return BadField(row.name, fmt::format("must be {}, not {}", whole ? "an integer" : "a number",
                                          value.KindName()));
  }
  const double number = *value.AsDouble();
  const bool exact = !whole || value.AsInt().has_value();
  if (!exact && std::isfinite(number) && number != std::floor(number)) {
    return BadField(row.name, "must be an integer, not a fraction");
  }
  if (!exact || !(number >= row.min && number <= row.max)) {
    if (std::isinf(row.max)) return BadField(row.name, "must be a 64-bit integer");
    return BadField(row.name, fmt::format("must be between {} and {}", row.min, row.max));
  }
  return OkStatus();
}

Status CheckKind(const FieldRow& row, const Json& value) {
  const auto wrong = [&](std::string_view wanted) {
    return BadField(row.name, fmt::format("must be {}, not {}", wanted, value.KindName()));
  };
  switch (row.kind) {
    case kNumber:
    case kInteger: return CheckNumber(row, value);
    case kBool: return value.AsBool() ? OkStatus() : wrong("a boolean");
    case kString: return value.AsString() ? OkStatus() : wrong("a string");
    case kArray: return value.AsArray() ? OkStatus() : wrong("an array");
    case kObject: return value.AsObject() ? OkStatus() : wrong("an object");
    case kAny: return OkStatus();
  }
  return OkStatus();
}

Status CheckField(const FieldRow& row, const Json& value, bool strict,
                  std::vector<std::string>* ignored) {
  if (value.is_null()) return OkStatus();
  if (row.effect == Effect::kHonoured) return CheckKind(row, value);
  if (AsksForNothing(value, row.neutral)) return OkStatus();
  if (row.effect == Effect::kRefused) {
    return BadField(row.name, "is not supported by this server; leave it out");
  }
  if (strict) return BadField(row.name, "has no effect on this server, and it is strict");
  ignored->emplace_back(row.name);
  return OkStatus();
}

}  // namespace

const FieldRow* FindField(std::span<const FieldRow> rows, uint8_t endpoint, std::string_view name) {
  for (const FieldRow& row : rows) {
    if ((row.endpoints & endpoint) != 0 && row.name == name) return &row;
  }
  return nullptr;
}

Status CheckFields(const Json& body, std::span<const FieldRow> rows, uint8_t endpoint, bool strict,
                   std::vector<std::string>* ignored) {
  const Json::Object* members = body.AsObject();
  if (members == nullptr) {
    return InvalidArgument(fmt::format("the body must be a JSON object, not {}", body.KindName()));
  }
  for (const auto& [name, value] : *members) {
    if (const FieldRow* row = FindField(rows, endpoint, name)) {
      RETURN_IF_ERROR(CheckField(*row, value, strict, ignored));
      continue;
    }
    if (strict) return BadField(name.substr(0, kIgnoredNameBytesMax), "is unknown");
    ignored->push_back(name);
  }
  return OkStatus();
}

const Json* Given(const Json& body, std::string_view name) {
  const Json* value = body.Find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool GivenBool(const Json& body, std::string_view name, bool fallback) {
  const Json* value = Given(body, name);
  return value == nullptr ? fallback : value->AsBool().value_or(fallback);
}

std::string IgnoredHeader(std::span<const std::string> names) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i == kIgnoredNamesMax) return out + fmt::format(", and {} more", names.size() - i);
    if (i > 0) out += ", ";
    for (const char c : names[i].substr(0, kIgnoredNameBytesMax)) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                         std::string_view("_-.[]").find(c) != std::string_view::npos;
      out.push_back(plain ? c : '?');
    }
  }
  return out;
}

Status BadField(std::string_view param, std::string message) {
  return InvalidArgument(fmt::format("'{}' {}", param, message)).WithParam(std::string(param));
}

}  // namespace pelton::api
