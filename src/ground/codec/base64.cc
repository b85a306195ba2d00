#include "codec/base64.h"

#include <array>
#include <cstdint>

namespace pelton::codec {
namespace {

constexpr std::string_view kStandardDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint8_t kNoDigit = 0xFF;

constexpr std::array<uint8_t, 256> Values(std::string_view digits) {
  std::array<uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (size_t i = 0; i < digits.size(); ++i) {
    values[static_cast<uint8_t>(digits[i])] = static_cast<uint8_t>(i);
  }
  return values;
}
constexpr auto kStandardValues = Values(kStandardDigits);
constexpr auto kUrlValues = Values(kUrlDigits);

}  // namespace

std::string EncodeBase64(std::string_view bytes, Base64Alphabet alphabet) {
  const bool url = alphabet == Base64Alphabet::kUrl;
  const std::string_view digits = url ? kUrlDigits : kStandardDigits;
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      if (j <= count) {
        out.push_back(digits[bits >> (18 - 6 * j) & 63]);
      } else if (!url) {
        out.push_back('=');
      }
    }
  }
  return out;
}

Result<std::string> DecodeBase64(std::string_view text, Base64Alphabet alphabet) {
  const bool url = alphabet == Base64Alphabet::kUrl;
  if (!url) {
    if (text.size() % 4 != 0) return InvalidArgument("base64 text is not a multiple of 4 long");
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return InvalidArgument("base64 text has a lone last digit");
  const auto& values = url ? kUrlValues : kStandardValues;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int bit_count = 0;
  for (const char c : text) {
    const uint8_t value = values[static_cast<uint8_t>(c)];
    if (value == kNoDigit) return InvalidArgument("base64 text has a character that is no digit");
    bits = (bits << 6 | value) & 0xFFFFF;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      out.push_back(static_cast<char>(bits >> bit_count));
    }
  }
  if ((bits & ((1u << bit_count) - 1)) != 0)
    return InvalidArgument("base64 text has stray last bits");
  return out;
}

}  // namespace pelton::codec
