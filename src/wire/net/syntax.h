// Byte classes of RFC 9110 and RFC 3986, independent of any locale.
#pragma once

#include <cstdint>
#include <string_view>

namespace pelton::net {

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
constexpr bool IsAlphaNumeric(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr char LowerCase(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
// tchar: what names of methods and fields are made of.
constexpr bool IsTokenByte(char c) {
  return IsAlphaNumeric(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
// field-value: visible bytes, obs-text, space and tab; never CR, LF, NUL or another control.
constexpr bool IsValueByte(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return byte >= 0x20 ? byte != 0x7F : c == '\t';
}
constexpr bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (LowerCase(a[i]) != LowerCase(b[i])) return false;
  }
  return true;
}
constexpr bool IsToken(std::string_view text) {
  for (const char c : text) {
    if (!IsTokenByte(c)) return false;
  }
  return !text.empty();
}

}  // namespace pelton::net
