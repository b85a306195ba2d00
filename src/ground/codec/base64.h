// Base64 (RFC 4648). Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::codec {

enum class Base64Alphabet { kStandard, kUrl };  // '+' '/' with padding; '-' '_' without

std::string EncodeBase64(std::string_view bytes,
                         Base64Alphabet alphabet = Base64Alphabet::kStandard);

// Strict: no white space, padding exactly where the alphabet wants it, and no stray bits in the
// last digit, so that one value has one text. INVALID_ARGUMENT otherwise.
Result<std::string> DecodeBase64(std::string_view text,
                                 Base64Alphabet alphabet = Base64Alphabet::kStandard);

}  // namespace pelton::codec
