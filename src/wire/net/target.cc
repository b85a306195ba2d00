#include "net/target.h"

#include <algorithm>
#include <cstdint>

#include "codec/utf8.h"
#include "net/syntax.h"

namespace pelton::net {
namespace {

constexpr int kPortMax = 65'535;

bool ValidPort(std::string_view port) {
  if (port.size() > 5) return false;
  int number = 0;
  for (const char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + (c - '0');
  }
  return number <= kPortMax;
}

bool IsNameByte(char c) {  // unreserved and sub-delims of RFC 3986, without percent escapes
  return IsAlphaNumeric(c) || std::string_view("-._~!$&'()*+,;=").find(c) != std::string_view::npos;
}

bool IsIpv6Byte(char c) { return HexValue(c) >= 0 || c == ':' || c == '.'; }

bool IsTargetByte(char c) {  // visible ASCII without what RFC 3986 has no place for
  return c > 0x20 && c < 0x7F && std::string_view("\"<>\\#").find(c) == std::string_view::npos;
}

bool DecodePercent(std::string_view raw, std::string* out) {
  out->clear();
  out->reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '%') {
      out->push_back(raw[i]);
      continue;
    }
    if (i + 2 >= raw.size()) return false;
    const int high = HexValue(raw[i + 1]);
    const int low = HexValue(raw[i + 2]);
    if (high < 0 || low < 0) return false;
    out->push_back(static_cast<char>(high << 4 | low));
    i += 2;
  }
  return true;
}

std::optional<Refusal> CheckPath(std::string_view path) {
  for (const char c : path) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F || c == '\\') {
      return Refusal{400, "a control character or backslash in the path"};
    }
  }
  if (!codec::ValidUtf8(path)) return Refusal{400, "the path is not valid UTF-8"};
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    const bool last = end == path.size();
    if ((segment.empty() && !last) || segment == "." || segment == "..") {
      return Refusal{400, "an empty, '.' or '..' segment in the path"};
    }
    begin = end + 1;
  }
  return std::nullopt;
}


}  // namespace

bool ValidHost(std::string_view host) {
  if (host.empty()) return false;
  if (host.front() == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    const std::string_view address = host.substr(1, close - 1);
    if (!std::all_of(address.begin(), address.end(), IsIpv6Byte)) return false;
    const std::string_view rest = host.substr(close + 1);
    return rest.empty() || (rest.front() == ':' && ValidPort(rest.substr(1)));
  }
  const size_t colon = host.find(':');
  const std::string_view name = host.substr(0, colon);
  if (name.empty() || !std::all_of(name.begin(), name.end(), IsNameByte)) return false;
  return colon == std::string_view::npos || ValidPort(host.substr(colon + 1));
}

std::optional<Refusal> ParseTarget(std::string_view method, std::string_view target,
                                   std::string_view host, Target* out) {
  if (!std::all_of(target.begin(), target.end(), IsTargetByte)) {
    return Refusal{400, "the request target has a byte that no URI may have"};
  }
  if (target == "*" && method == "OPTIONS") {
    out->path = "*";
    return std::nullopt;
  }
  if (!target.starts_with('/')) {
    size_t scheme = 0;
    if (EqualIgnoringCase(target.substr(0, 7), "http://")) scheme = 7;
    if (EqualIgnoringCase(target.substr(0, 8), "https://")) scheme = 8;
    if (scheme == 0) return Refusal{400, "the request target is neither a path nor an http URI"};
    const size_t end = std::min(target.find_first_of("/?", scheme), target.size());
    const std::string_view authority = target.substr(scheme, end - scheme);
    if (!ValidHost(authority)) return Refusal{400, "the request target's host is not valid"};
    if (!host.empty() && !EqualIgnoringCase(authority, host)) {
      return Refusal{400, "the request target's host is not the Host field's"};
    }
    target.remove_prefix(end);
  }
  const size_t question = std::min(target.find('?'), target.size());
  if (question < target.size()) out->query = target.substr(question + 1);
  if (!DecodePercent(target.substr(0, question), &out->path)) {
    return Refusal{400, "a bad percent escape in the path"};
  }
  if (out->path.empty()) out->path = "/";  // "http://host" and "http://host?q"
  return CheckPath(out->path);
}

}  // namespace pelton::net
