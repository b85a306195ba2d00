// The fields of OpenAI's request bodies, as one table: type, range, effect. Reading, refusing,
// x-pelton-ignored and /openapi.json all come from it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "codec/json.h"

namespace pelton::api::openai {

enum class FieldKind : uint8_t { kNumber, kInteger, kBool, kString, kArray, kObject, kAny };

enum class Effect : uint8_t {
  kHonoured,
  kIgnored,  // changes nothing of the answer; named in x-pelton-ignored, refused by --strict-api
  kRefused,  // would change the answer and cannot: 400 unless its value asks for nothing
};

enum Endpoint : uint8_t { kChat = 1, kCompletions = 2, kTokenize = 4, kDetokenize = 8 };

struct FieldRow {
  std::string_view name;
  uint8_t endpoints;  // of Endpoint
  FieldKind kind;
  Effect effect = Effect::kHonoured;
  std::string_view doc = {};
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  // For kRefused and kIgnored: a JSON value that asks for nothing, besides null, false, 0, "", []
  // and {}.
  std::string_view neutral = {};
};

std::span<const FieldRow> FieldTable();
const FieldRow* FindField(Endpoint endpoint, std::string_view name);

// Checks every member of `body` (an object) against the table: kinds, ranges, refusals. Afterwards
// an honoured number is finite and in range, an integer whole, a bool a bool, a string a string; a
// null member counts as absent. Names without effect are appended to `ignored`.
Status CheckFields(const codec::Json& body, Endpoint endpoint, bool strict,
                   std::vector<std::string>* ignored);

// The member unless it is missing or null.
const codec::Json* Given(const codec::Json& body, std::string_view name);
bool GivenBool(const codec::Json& body, std::string_view name, bool fallback);

// The value of the header x-pelton-ignored: names in visible ASCII, bounded.
std::string IgnoredHeader(std::span<const std::string> names);

// INVALID_ARGUMENT about one field.
Status BadField(std::string_view param, std::string message);

}  // namespace pelton::api::openai
