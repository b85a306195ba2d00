// The one source with Boost.JSON in it: its parser calls the handler below, which builds our value.
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "codec/json.h"

namespace pelton::codec {
namespace {

namespace bj = boost::json;

constexpr size_t kLinearKeysMax = 8;     // objects up to here are compared key by key
constexpr size_t kKeyShownBytesMax = 64; // of a duplicate key, in a message

// `key` for a message: cut, and with what is not printable ASCII as '?'.
std::string Shown(std::string_view key) {
  std::string out(key.substr(0, kKeyShownBytesMax));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7E) c = '?';
  }
  if (key.size() > out.size()) out += "…";
  return out;
}

const std::string* DuplicateKey(const Json::Object& members) {
  if (members.size() <= kLinearKeysMax) {
    for (size_t i = 1; i < members.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (members[i].first == members[j].first) return &members[i].first;
      }
    }
    return nullptr;
  }
  std::vector<const std::string*> keys;
  keys.reserve(members.size());
  for (const Json::Member& member : members) keys.push_back(&member.first);
  std::sort(keys.begin(), keys.end(), [](auto* a, auto* b) { return *a < *b; });
  const auto twice =
      std::adjacent_find(keys.begin(), keys.end(), [](auto* a, auto* b) { return *a == *b; });
  return twice == keys.end() ? nullptr : *twice;
}

// Builds the value bottom-up: `values_` holds what is not yet inside a container, `keys_` the names
// of open objects' members. Each On… returns false, with `problem` said, to stop the parser.
class Builder {
 public:
  // Boost asks these of a handler; ours are in JsonLimits.
  static constexpr size_t max_object_size = SIZE_MAX;
  static constexpr size_t max_array_size = SIZE_MAX;
  static constexpr size_t max_key_size = SIZE_MAX;
  static constexpr size_t max_string_size = SIZE_MAX;

  explicit Builder(size_t values_max) : values_left_(values_max), values_max_(values_max) {}

  const std::string& problem() const { return problem_; }
  Json Take() { return std::move(values_.back()); }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code& ec) { return Spend(ec); }
  bool on_array_begin(bj::error_code& ec) { return Spend(ec); }
  bool on_object_end(size_t count, bj::error_code& ec) {
    Json::Object members;
    members.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      members.emplace_back(std::move(keys_[keys_.size() - count + i]),
                           std::move(values_[values_.size() - count + i]));
    }
    keys_.erase(keys_.end() - static_cast<ptrdiff_t>(count), keys_.end());
    values_.erase(values_.end() - static_cast<ptrdiff_t>(count), values_.end());
    if (const std::string* twice = DuplicateKey(members)) {
      return Fail(ec, fmt::format("the object that ends here has \"{}\" twice", Shown(*twice)));
    }
    values_.emplace_back(std::move(members));
    return true;
  }
  bool on_array_end(size_t count, bj::error_code&) {
    const auto first = values_.end() - static_cast<ptrdiff_t>(count);
    Json::Array items(std::make_move_iterator(first), std::make_move_iterator(values_.end()));
    values_.erase(first, values_.end());
    values_.emplace_back(std::move(items));
    return true;
  }
  bool on_key_part(bj::string_view part, size_t, bj::error_code&) { return Append(part); }
  bool on_key(bj::string_view part, size_t, bj::error_code& ec) {
    Append(part);
    keys_.push_back(std::move(text_));
    text_.clear();
    return Spend(ec);
  }
  bool on_string_part(bj::string_view part, size_t, bj::error_code&) { return Append(part); }
  bool on_string(bj::string_view part, size_t, bj::error_code& ec) {
    Append(part);
    values_.emplace_back(std::move(text_));
    text_.clear();
    return Spend(ec);
  }
  bool on_number_part(bj::string_view part, bj::error_code&) { return Append(part); }
  bool on_int64(int64_t, bj::string_view part, bj::error_code& ec) { return Number(part, ec); }
  bool on_uint64(uint64_t, bj::string_view part, bj::error_code& ec) { return Number(part, ec); }
  bool on_double(double, bj::string_view part, bj::error_code& ec) { return Number(part, ec); }
  bool on_bool(bool v, bj::error_code& ec) { return Put(Json(v), ec); }
  bool on_null(bj::error_code& ec) { return Put(Json(), ec); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  bool Append(bj::string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool Fail(bj::error_code& ec, std::string problem) {
    problem_ = std::move(problem);
    ec = bj::error::exception;  // any error stops the parser; the text is `problem_`
    return false;
  }
  bool Spend(bj::error_code& ec) {
    if (values_left_ == 0) return Fail(ec, fmt::format("more than {} values", values_max_));
    --values_left_;
    return true;
  }
  bool Put(Json value, bj::error_code& ec) {
    values_.push_back(std::move(value));
    return Spend(ec);
  }
  // The digits are read again: std::from_chars rounds correctly and says when a double overflows.
  bool Number(bj::string_view part, bj::error_code& ec) {
    Append(part);
    const std::string digits = std::exchange(text_, {});
    const char* const end = digits.data() + digits.size();
    if (digits.find_first_of(".eE") == std::string::npos) {
      int64_t i = 0;
      if (std::from_chars(digits.data(), end, i).ec == std::errc()) return Put(Json(i), ec);
      uint64_t u = 0;
      if (digits[0] != '-' && std::from_chars(digits.data(), end, u).ec == std::errc()) {
        return Put(Json(u), ec);
      }
    }
    double d = 0;
    const auto read = std::from_chars(digits.data(), end, d);
    // Out of range is also said of numbers too small for a double: those are 0 by IEEE 754, and
    // only a number with a large exponent or many digits left of the point is too large.
    if (read.ec == std::errc::result_out_of_range) {
      d = std::strtod(digits.c_str(), nullptr);
      if (!std::isfinite(d)) return Fail(ec, "number out of range");
    }
    return Put(Json(d), ec);
  }

  std::vector<Json> values_;
  std::vector<std::string> keys_;
  std::string text_;  // the string, key or number being read
  size_t values_left_;
  const size_t values_max_;
  std::string problem_;
};

std::string Plain(const bj::error_code& ec, std::string_view rest, const JsonLimits& limits) {
  if (ec == bj::error::extra_data) return "something follows the value";
  if (ec == bj::error::too_deep) {
    return fmt::format("nested more than {} deep", limits.depth_max);
  }
  if (ec == bj::error::exponent_overflow) return "number out of range";
  if (ec == bj::error::incomplete || rest.empty()) return "the text ends before the value does";
  if (ec == bj::error::expected_utf16_escape || ec == bj::error::illegal_leading_surrogate ||
      ec == bj::error::illegal_trailing_surrogate) {
    return "a \\u escape that is half of a surrogate pair";
  }
  if (ec == bj::error::expected_hex_digit) return "\\u needs four hexadecimal digits";
  const auto c = static_cast<uint8_t>(rest.front());
  if (c > 0x20 && c < 0x7F) return fmt::format("'{}' cannot stand here", rest.front());
  return c == '\n' || c == '\r' ? "a line break cannot stand here"
                                : fmt::format("byte 0x{:02x} cannot stand here", c);
}

// True when `before` ends in the escape of a leading surrogate, \uD800 to \uDBFF.
bool EndsInHalfAPair(std::string_view before) {
  if (before.size() < 6) return false;
  const std::string_view escape = before.substr(before.size() - 6);
  return escape.starts_with("\\u") && (escape[2] == 'd' || escape[2] == 'D') &&
         std::string_view("89abAB").find(escape[3]) != std::string_view::npos;
}

Status Problem(std::string_view text, size_t offset, std::string_view what) {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? offset + 1 : offset - newline;
  return InvalidArgument(
      fmt::format("line {}, column {} (byte {}): {}", line, column, offset, what));
}

bool OnlySpace(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace

Result<Json> ParseJson(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return InvalidArgument(
        fmt::format("{} bytes of JSON; at most {} are read", text.size(), limits.bytes_max));
  }
  bj::parse_options options;
  options.max_depth = static_cast<size_t>(std::max(limits.depth_max, 0));
  bj::basic_parser<Builder> parser(options, limits.values_max);
  bj::error_code ec;
  const size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && !OnlySpace(text.substr(read))) ec = bj::error::extra_data;
  if (!ec) return parser.handler().Take();
  const std::string& own = parser.handler().problem();
  if (!own.empty()) return Problem(text, read, own);
  if (text.empty() || OnlySpace(text)) return Problem(text, read, "the text is empty");
  if (EndsInHalfAPair(text.substr(0, read))) ec = bj::error::illegal_leading_surrogate;
  return Problem(text, read, Plain(ec, text.substr(std::min(read, text.size())), limits));
}

}  // namespace pelton::codec
