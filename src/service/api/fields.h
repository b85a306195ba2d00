// What the tables of request fields of all APIs share: a row says type, range and effect; reading,
// refusing and x-pelton-ignored follow from it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/json.h"

namespace pelton::api {

enum class FieldKind : uint8_t { kNumber, kInteger, kBool, kString, kArray, kObject, kAny };

enum class Effect : uint8_t {
  kHonoured,
  kIgnored,  // changes nothing of the answer; named in x-pelton-ignored, refused by --strict-api
  kRefused,  // would change the answer and cannot: 400 unless its value asks for nothing
};

struct FieldRow {
  std::string_view name;
  uint8_t endpoints;  // of the API's own
  FieldKind kind;
  Effect effect = Effect::kHonoured;
  std::string_view doc = {};
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  // For kRefused and kIgnored: a JSON value that asks for nothing, besides null, false, 0, "", []
  // and {}.
  std::string_view neutral = {};
};

const FieldRow* FindField(std::span<const FieldRow> rows, uint8_t endpoint, std::string_view name);

// Checks every member of `body` (an object) against the rows of `endpoint`: kinds, ranges, refusals.
// Afterwards an honoured number is finite and in range, an integer whole, a bool a bool, a string a
// string; a null member counts as absent. Names without effect are appended to `ignored`.
Status CheckFields(const codec::Json& body, std::span<const FieldRow> rows, uint8_t endpoint, bool strict,
                   std::vector<std::string>* ignored);

// The member unless it is missing or null.
const codec::Json* Given(const codec::Json& body, std::string_view name);
bool GivenBool(const codec::Json& body, std::string_view name, bool fallback);

// The value of the header x-pelton-ignored: names in visible ASCII, bounded.
std::string IgnoredHeader(std::span<const std::string> names);

// INVALID_ARGUMENT about one field.
Status BadField(std::string_view param, std::string message);

}  // namespace pelton::api
