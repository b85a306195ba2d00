#include "codec/json.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/assert.h"

namespace pelton::codec {
namespace {

constexpr double kExactIntegerMax = 9007199254740992.0;  // 2^53: doubles are exact up to here

}  // namespace

Json::Json(std::string v) : kind_(Kind::kString) { as_.string = new std::string(std::move(v)); }
Json::Json(Array v) : kind_(Kind::kArray) { as_.array = new Array(std::move(v)); }
Json::Json(Object v) : kind_(Kind::kObject) { as_.object = new Object(std::move(v)); }

Json::Json(const Json& other) : as_(other.as_), kind_(other.kind_) {
  if (kind_ == Kind::kString) as_.string = new std::string(*other.as_.string);
  if (kind_ == Kind::kArray) as_.array = new Array(*other.as_.array);
  if (kind_ == Kind::kObject) as_.object = new Object(*other.as_.object);
}

Json& Json::operator=(const Json& other) {
  Json copy(other);
  Swap(copy);
  return *this;
}

Json::~Json() {
  if (kind_ == Kind::kString) delete as_.string;
  if (kind_ == Kind::kArray) delete as_.array;
  if (kind_ == Kind::kObject) delete as_.object;
}

void Json::SetUint(uint64_t v) {
  const bool fits = v <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  kind_ = fits ? Kind::kInt : Kind::kUint;
  if (fits) {
    as_.int64 = static_cast<int64_t>(v);
  } else {
    as_.uint64 = v;
  }
}

std::string_view Json::KindName() const {
  switch (kind_) {
    case Kind::kNull: return "null";
    case Kind::kBool: return "a boolean";
    case Kind::kInt:
    case Kind::kUint: return "an integer";
    case Kind::kDouble: return "a number";
    case Kind::kString: return "a string";
    case Kind::kArray: return "an array";
    case Kind::kObject: return "an object";
  }
  return "null";
}

std::optional<bool> Json::AsBool() const {
  if (kind_ != Kind::kBool) return std::nullopt;
  return as_.boolean;
}

std::optional<int64_t> Json::AsInt() const {
  if (kind_ == Kind::kInt) return as_.int64;
  if (kind_ != Kind::kDouble || !(std::fabs(as_.real) <= kExactIntegerMax)) return std::nullopt;
  if (as_.real != std::trunc(as_.real)) return std::nullopt;
  return static_cast<int64_t>(as_.real);
}

std::optional<uint64_t> Json::AsUint() const {
  if (kind_ == Kind::kUint) return as_.uint64;
  const std::optional<int64_t> v = AsInt();
  if (!v || *v < 0) return std::nullopt;
  return static_cast<uint64_t>(*v);
}

std::optional<double> Json::AsDouble() const {
  if (kind_ == Kind::kInt) return static_cast<double>(as_.int64);
  if (kind_ == Kind::kUint) return static_cast<double>(as_.uint64);
  if (kind_ == Kind::kDouble) return as_.real;
  return std::nullopt;
}

const Json* Json::Find(std::string_view key) const {
  if (kind_ != Kind::kObject) return nullptr;
  for (const Member& member : *as_.object) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}

Json& Json::Set(std::string_view key, Json value) {
  if (is_null()) *this = EmptyObject();
  CHECK(kind_ == Kind::kObject, "Set on a value that is no object");
  for (Member& member : *as_.object) {
    if (member.first == key) {
      member.second = std::move(value);
      return *this;
    }
  }
  as_.object->emplace_back(std::string(key), std::move(value));
  return *this;
}

Json& Json::Push(Json value) {
  if (is_null()) *this = EmptyArray();
  CHECK(kind_ == Kind::kArray, "Push on a value that is no array");
  as_.array->push_back(std::move(value));
  return *this;
}

bool operator==(const Json& a, const Json& b) {
  if (a.kind_ != b.kind_) return false;
  switch (a.kind_) {
    case Json::Kind::kNull: return true;
    case Json::Kind::kBool: return a.as_.boolean == b.as_.boolean;
    case Json::Kind::kInt: return a.as_.int64 == b.as_.int64;
    case Json::Kind::kUint: return a.as_.uint64 == b.as_.uint64;
    case Json::Kind::kDouble: return a.as_.real == b.as_.real;
    case Json::Kind::kString: return *a.as_.string == *b.as_.string;
    case Json::Kind::kArray: return *a.as_.array == *b.as_.array;
    case Json::Kind::kObject: break;
  }
  if (a.as_.object->size() != b.as_.object->size()) return false;
  return std::all_of(a.as_.object->begin(), a.as_.object->end(), [&](const Json::Member& member) {
    const Json* other = b.Find(member.first);
    return other != nullptr && member.second == *other;
  });
}

}  // namespace pelton::codec
