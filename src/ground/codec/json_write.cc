#include "codec/json_write.h"

#include <charconv>
#include <cmath>

#include "base/assert.h"
#include "codec/utf8.h"

namespace pelton::codec {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

bool NeedsEscape(char c) { return static_cast<uint8_t>(c) < 0x20 || c == '"' || c == '\\'; }

void AppendEscape(char c, std::string* out) {
  out->push_back('\\');
  switch (c) {
    case '"':
    case '\\': out->push_back(c); return;
    case '\n': out->push_back('n'); return;
    case '\r': out->push_back('r'); return;
    case '\t': out->push_back('t'); return;
    default:
      out->append("u00");
      out->push_back(kHexDigits[(c >> 4) & 0xF]);
      out->push_back(kHexDigits[c & 0xF]);
  }
}

template <typename Real>
void AppendReal(Real value, std::string* out) {
  if (!std::isfinite(value)) {
    out->append("null");
    return;
  }
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out->append(digits, end);
  // "1" would read back as an integer: keep the kind.
  if (std::string_view(digits, end).find_first_of(".e") == std::string_view::npos)
    out->append(".0");
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  if (!ValidUtf8(text)) {
    AppendJsonString(SanitizeUtf8(text), out);
    return;
  }
  out->push_back('"');
  size_t written = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!NeedsEscape(text[i])) continue;
    out->append(text.substr(written, i - written));
    AppendEscape(text[i], out);
    written = i + 1;
  }
  out->append(text.substr(written));
  out->push_back('"');
}

void AppendJsonDouble(double value, std::string* out) { AppendReal(value, out); }

void AppendJson(const Json& value, std::string* out) {
  JsonWriter(out).Value(value);
}

std::string WriteJson(const Json& value) {
  std::string out;
  AppendJson(value, &out);
  return out;
}

JsonWriter& JsonWriter::Open(char opening, char closing) {
  BeforeValue();
  out_.push_back(opening);
  levels_.push_back({.closing = closing});
  return *this;
}

JsonWriter& JsonWriter::End() {
  CHECK(!levels_.empty() && !levels_.back().after_key, "End without a start, or after a key");
  out_.push_back(levels_.back().closing);
  levels_.pop_back();
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  CHECK(!levels_.empty() && levels_.back().closing == '}' && !levels_.back().after_key,
        "a key outside an object");
  if (levels_.back().has_items) out_.push_back(',');
  levels_.back().has_items = true;
  levels_.back().after_key = true;
  AppendJsonString(key, &out_);
  out_.push_back(':');
  return *this;
}

void JsonWriter::BeforeValue() {
  if (levels_.empty()) return;
  Level& level = levels_.back();
  if (level.closing == '}') {
    CHECK(level.after_key, "a value without a key inside an object");
    level.after_key = false;
    return;
  }
  if (level.has_items) out_.push_back(',');
  level.has_items = true;
}

JsonWriter& JsonWriter::Value(std::string_view text) {
  BeforeValue();
  AppendJsonString(text, &out_);
  return *this;
}

JsonWriter& JsonWriter::Value(double value) {
  BeforeValue();
  AppendReal(value, &out_);
  return *this;
}

JsonWriter& JsonWriter::Value(float value) {
  BeforeValue();
  AppendReal(value, &out_);
  return *this;
}

JsonWriter& JsonWriter::Raw(std::string_view json) {
  BeforeValue();
  out_.append(json);
  return *this;
}

JsonWriter& JsonWriter::Value(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::kNull: return Null();
    case Json::Kind::kBool: return Value(*value.AsBool());
    case Json::Kind::kInt: return Value(*value.AsInt());
    case Json::Kind::kUint: return Value(*value.AsUint());
    case Json::Kind::kDouble: return Value(*value.AsDouble());
    case Json::Kind::kString: return Value(std::string_view(*value.AsString()));
    case Json::Kind::kArray:
      Array();
      for (const Json& item : *value.AsArray()) Value(item);
      return End();
    case Json::Kind::kObject:
      Object();
      for (const Json::Member& member : *value.AsObject()) Key(member.first).Value(member.second);
      return End();
  }
  return Null();
}

}  // namespace pelton::codec
