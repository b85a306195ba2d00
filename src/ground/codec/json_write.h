// Writing JSON. What comes out is always valid: strings are valid UTF-8 (ill-formed parts become
// U+FFFD), doubles have the shortest digits that read back equal, NaN and infinities become null.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "codec/json.h"

namespace pelton::codec {

void AppendJsonString(std::string_view text, std::string* out);  // with its quotes
void AppendJsonDouble(double value, std::string* out);
void AppendJson(const Json& value, std::string* out);
std::string WriteJson(const Json& value);

// Writes a document piece by piece into a string, putting commas and colons itself:
//   JsonWriter w(&out);  w.Object().Key("id").Value(id).Key("choices").Array()…End().End();
// Thread-compatible. A misuse (a key outside an object, End without a start) is a CHECK: the calls
// are our code, never input.
class JsonWriter {
 public:
  explicit JsonWriter(std::string* out) : out_(*out) {}

  JsonWriter& Object() { return Open('{', '}'); }
  JsonWriter& Array() { return Open('[', ']'); }
  JsonWriter& End();
  JsonWriter& Key(std::string_view key);
  JsonWriter& Value(std::string_view text);
  JsonWriter& Value(const std::string& text) { return Value(std::string_view(text)); }
  JsonWriter& Value(const char* text) { return Value(std::string_view(text)); }
  JsonWriter& Value(double value);
  JsonWriter& Value(float value);  // the shortest digits that read back as the same float
  JsonWriter& Value(const Json& value);
  template <std::same_as<bool> B>
  JsonWriter& Value(B value) { return Raw(value ? "true" : "false"); }
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  JsonWriter& Value(I value) { return Raw(std::to_string(value)); }
  JsonWriter& Null() { return Raw("null"); }
  // A value that is JSON already.
  JsonWriter& Raw(std::string_view json);

 private:
  struct Level {
    char closing = 0;
    bool has_items = false;
    bool after_key = false;
  };

  JsonWriter& Open(char opening, char closing);
  void BeforeValue();

  std::string& out_;
  std::vector<Level> levels_;
};

}  // namespace pelton::codec
