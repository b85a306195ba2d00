// JSON values and reading them, strictly by RFC 8259. The grammar is Boost.JSON's; numbers, limits,
// duplicate keys and error texts are ours, and Boost stays inside this room: the value below is
// what the other rooms see. It keeps the order of members, costs 16 bytes a value, and tells
// integers from fractions (Boost 1.81 rounds some doubles wrongly and turns 1e999 into infinity).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace pelton::codec {

// A JSON value. A value type: copies are deep. Thread-compatible.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in the order of the text
  // kInt: fits int64; kUint: above int64, fits uint64; kDouble: everything else.
  enum class Kind : uint8_t { kNull, kBool, kInt, kUint, kDouble, kString, kArray, kObject };

  Json() = default;  // null
  Json(std::nullptr_t) {}
  template <std::same_as<bool> B>
  Json(B v) : kind_(Kind::kBool) { as_.boolean = v; }
  template <std::signed_integral I>
  Json(I v) : kind_(Kind::kInt) { as_.int64 = v; }
  template <std::unsigned_integral U>
    requires(!std::same_as<U, bool>)
  Json(U v) { SetUint(v); }
  Json(double v) : kind_(Kind::kDouble) { as_.real = v; }
  Json(std::string v);
  Json(std::string_view v) : Json(std::string(v)) {}
  Json(const char* v) : Json(std::string(v)) {}
  Json(Array v);
  Json(Object v);
  static Json EmptyArray() { return Json(Array()); }
  static Json EmptyObject() { return Json(Object()); }

  Json(const Json& other);
  Json& operator=(const Json& other);
  Json(Json&& other) noexcept { Swap(other); }
  Json& operator=(Json&& other) noexcept {
    Json taken(std::move(other));  // so that a value may be replaced by a part of itself
    Swap(taken);
    return *this;
  }
  ~Json();

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_number() const { return kind_ >= Kind::kInt && kind_ <= Kind::kDouble; }
  // "null", "a boolean", "an integer", "a number", "a string", "an array", "an object": for
  // messages.
  std::string_view KindName() const;

  std::optional<bool> AsBool() const;
  // Integers that fit, and doubles that hold a whole number below 2^53 (16.0 is 16; 16.5 is
  // nothing).
  std::optional<int64_t> AsInt() const;
  std::optional<uint64_t> AsUint() const;
  std::optional<double> AsDouble() const;  // any number; above 2^53 an integer is rounded
  // Null when the value is of another kind.
  const std::string* AsString() const { return kind_ == Kind::kString ? as_.string : nullptr; }
  const Array* AsArray() const { return kind_ == Kind::kArray ? as_.array : nullptr; }
  const Object* AsObject() const { return kind_ == Kind::kObject ? as_.object : nullptr; }
  Array* AsArray() { return kind_ == Kind::kArray ? as_.array : nullptr; }
  Object* AsObject() { return kind_ == Kind::kObject ? as_.object : nullptr; }

  // The member's value; null when there is none or this is no object. Linear in the members.
  const Json* Find(std::string_view key) const;

  // For building. Set replaces a member of that name (turning null into an object first); Push
  // appends (turning null into an array first). Both CHECK that the kind fits.
  Json& Set(std::string_view key, Json value);
  Json& Push(Json value);

  // Same kind and same content; members may stand in any order.
  friend bool operator==(const Json& a, const Json& b);

 private:
  void SetUint(uint64_t v);
  void Swap(Json& other) noexcept {
    std::swap(as_, other.as_);
    std::swap(kind_, other.kind_);
  }

  union {
    bool boolean;
    int64_t int64 = 0;
    uint64_t uint64;
    double real;
    std::string* string;  // owned
    Array* array;         // owned
    Object* object;       // owned
  } as_;
  Kind kind_ = Kind::kNull;
};

// What one text may cost. Memory stays within about 100 bytes a value while reading, and the
// text's own size.
struct JsonLimits {
  int depth_max = 64;              // arrays and objects inside one another
  size_t bytes_max = 64u << 20;    // of the text
  size_t values_max = 1'000'000;   // values and keys together
};

// INVALID_ARGUMENT with a sentence that has line, column (in bytes) and byte offset:
//   "line 1, column 9 (byte 8): a value is missing here"
// Refused: what RFC 8259 does not allow (NaN, comments, trailing commas, control characters in
// strings, text after the value), invalid UTF-8, a byte order mark, lone surrogates in \u escapes,
// a number beyond the range of double, two members of one name (the message names it), and more
// than `limits` allow.
Result<Json> ParseJson(std::string_view text, const JsonLimits& limits = {});

}  // namespace pelton::codec
